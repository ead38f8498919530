//! Catches panics of libraries where nothing else reports a fault.
//!
//! The library catches them and does not change the process's panic hook, so that the host sees
//! every panic. A program that reports the fault itself can silence its hook for them:
//! [`pass_over_caught_panics`].

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

thread_local!(static IS_CAUGHT: Cell<bool> = const { Cell::new(false) });

/// Makes the process's panic hook ignore panics that this library catches and turns into errors.
/// Only programs should call it, because the hook does not belong to a library. A second call does
/// nothing.
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
    caught_saying(work).ok()
}

/// Runs `work`, turning a panic into what it says.
pub(crate) fn caught_saying<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = IS_CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(before);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local!(static HEARD: Cell<u32> = const { Cell::new(0) });

    #[test]
    fn the_hook_is_the_hosts_until_the_program_asks() {
        // The test's own hook, which counts the panics of this thread only.
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
        // A panic that is not caught here reaches the hook.
        assert!(catch_unwind(|| panic!("a fault")).is_err());
        assert_eq!(HEARD.get(), 2);
        let nested = caught(|| (caught(|| panic!("inner")), 3));
        assert_eq!((nested, HEARD.get()), (Some((None::<()>, 3)), 2));
    }
}
