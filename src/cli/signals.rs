//! Ctrl-C and SIGTERM: the first signal requests a stop at the next step, the second one ends the
//! process.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// The signal received, 0 for none. Empty until [`install`].
static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Starts catching Ctrl-C and SIGTERM. Only for commands that call [`interrupted`] in their loop;
/// the system ends the others. Calling it again has no effect. If a handler cannot be installed,
/// the signal keeps its usual effect.
pub fn install() {
    SIGNAL.get_or_init(|| {
        let signal = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            // The order matters: the shutdown acts only on a flag that an earlier signal has set.
            let _ = flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&again));
            let _ = flag::register(number, Arc::clone(&again));
            let _ =
                flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize);
        }
        // A limit on the size of files must cause an error of the write, like a full disk, and not
        // end the process.
        #[cfg(unix)]
        let _ = flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
        signal
    });
}

/// The signal (2 for Ctrl-C, 15 for SIGTERM) that requested a stop since [`install`], if any.
pub fn interrupted() -> Option<i32> {
    let number = SIGNAL.get()?.load(Ordering::Relaxed);
    i32::try_from(number).ok().filter(|&number| number != 0)
}
