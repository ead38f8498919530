//! Panics of libraries, where these leave no other way to learn of a fault.
//!
//! The library catches them and leaves the process's panic hook as its host has set it, so that a
//! host hears of every panic. A program that reports the fault itself has them pass in silence:
//! [`pass_over_caught_panics`].

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

thread_local!(static IS_CAUGHT: Cell<bool> = const { Cell::new(false) });

/// Has the process's panic hook pass over panics that this library catches, of which it makes
/// errors. For programs: a library has no business with the hook. A second call does nothing.
pub fn pass_over_caught_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_CAUGHT.get() {
                previous(info);
            }
        }));
    });
}

/// Runs `work`, turning a panic into `None`.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = IS_CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local!(static HEARD: Cell<u32> = const { Cell::new(0) });

    #[test]
    fn the_hook_is_the_hosts_until_the_program_asks() {
        // The hook of a host, which is this thread's alone to count by.
        let before = std::panic::take_hook();
        let host: Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Send + Sync> =
            Box::new(move |info| {
                HEARD.set(HEARD.get() + 1);
                before(info);
            });
        std::panic::set_hook(host);
        assert_eq!(caught(|| 1), Some(1));
        assert_eq!((caught(|| panic!("of a library")), HEARD.get()), (None::<()>, 1));
        pass_over_caught_panics();
        assert_eq!((caught(|| panic!("of a library")), HEARD.get()), (None::<()>, 1));
        // What nobody catches here is heard.
        assert!(catch_unwind(|| panic!("a fault")).is_err());
        assert_eq!(HEARD.get(), 2);
        let nested = caught(|| (caught(|| panic!("inner")), 3));
        assert_eq!((nested, HEARD.get()), (Some((None::<()>, 3)), 2));
    }
}
