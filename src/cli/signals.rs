//! Ctrl-C and SIGTERM: the first one asks for a stop at the next step, the second one kills.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// The signal that came, 0 for none. Absent until [`install`].
static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Starts catching Ctrl-C and SIGTERM. Only for commands that ask [`interrupted`] in their loop:
/// the others are simply ended by the system. Calling it again does nothing. Where a handler cannot
/// be installed, the signal keeps its usual effect.
pub fn install() {
    SIGNAL.get_or_init(|| {
        let signal = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            // In this order: the shutdown acts only on a flag that an earlier signal has set.
            let _ = flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&again));
            let _ = flag::register(number, Arc::clone(&again));
            let _ =
                flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize);
        }
        // A limit on the size of files is to be an error of the write, like a full disk, not the
        // end of the process.
        #[cfg(unix)]
        let _ = flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
        signal
    });
}

/// The signal (2 for Ctrl-C, 15 for SIGTERM) that asked the program to stop, if one did since
/// [`install`].
pub fn interrupted() -> Option<i32> {
    let number = SIGNAL.get()?.load(Ordering::Relaxed);
    i32::try_from(number).ok().filter(|&number| number != 0)
}
