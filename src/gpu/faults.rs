//! What the device reports on its own: errors and its loss.

use std::sync::Mutex;

use super::lock::lock;
use crate::{Error, Loss, Result, Shortage, error::phrase};

/// The first error that was not asked about yet, and the loss, which stays.
#[derive(Default)]
pub(super) struct Faults {
    first_error: Mutex<Option<Error>>,
    lost: Mutex<Option<Loss>>,
}

impl Faults {
    /// Notes an error, where none waits to be asked for.
    pub(super) fn failed(&self, error: wgpu::Error) {
        let typed = match error {
            wgpu::Error::OutOfMemory { .. } => {
                let advice =
                    phrase!("lower <batch-size> or close other programs that use this GPU");
                Error::OutOfMemory(Shortage::new("an allocation failed", advice))
            }
            other => Error::Gpu(one_line(&other.to_string())),
        };
        lock(&self.first_error).get_or_insert(typed);
    }

    /// Notes that the device is gone, in wgpu's words.
    pub(super) fn lost(&self, message: &str) {
        let out_of_memory = says_out_of_memory(message);
        lock(&self.lost).get_or_insert(Loss { reason: one_line(message), out_of_memory });
    }

    /// Notes that the device was given up.
    pub(super) fn given_up(&self) {
        lock(&self.lost).get_or_insert(Loss::new("it was given up"));
    }

    /// The device's loss, or else the first error, which is taken out.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(loss) = lock(&self.lost).clone() {
            // An operation that fails for want of memory and takes the device along reports both.
            let fell_short = matches!(*lock(&self.first_error), Some(Error::OutOfMemory(_)));
            return Err(Error::DeviceLost(Loss {
                out_of_memory: loss.out_of_memory || fell_short,
                ..loss
            }));
        }
        lock(&self.first_error).take().map_or(Ok(()), Err)
    }
}

/// Whether a loss is one of memory that has run out. The callback brings no more than a text, which
/// is then that of wgpu's own error.
#[cfg(not(target_family = "wasm"))]
fn says_out_of_memory(message: &str) -> bool {
    message == wgpu::hal::DeviceError::OutOfMemory.to_string()
}

/// Browsers have no text of their own for that.
#[cfg(target_family = "wasm")]
fn says_out_of_memory(_message: &str) -> bool {
    false
}

/// Driver and validator messages span lines; users get one.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(faults: &Faults) -> Loss {
        match faults.check() {
            Err(Error::DeviceLost(loss)) => loss,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn memory_that_took_the_device_along_is_told_from_other_losses() {
        let lost = |message: &str| {
            let faults = Faults::default();
            faults.lost(message);
            loss(&faults)
        };
        assert!(lost(&wgpu::hal::DeviceError::OutOfMemory.to_string()).out_of_memory);
        // Other words of a driver decide nothing.
        for message in ["Device is lost", "reset by the watchdog, it was not out of memory", ""] {
            assert!(!lost(message).out_of_memory, "{message}");
        }
        assert_eq!(lost("two\n lines").reason, "two lines");
        // wgpu reports the type of the failed operation beside the loss.
        for (error, out_of_memory) in [
            (wgpu::Error::OutOfMemory { source: "none left".into() }, true),
            (
                wgpu::Error::Internal { source: "x".into(), description: "out of memory".into() },
                false,
            ),
        ] {
            let faults = Faults::default();
            faults.failed(error);
            faults.lost("Device is lost");
            assert_eq!(
                [loss(&faults).out_of_memory; 2],
                [out_of_memory, loss(&faults).out_of_memory]
            );
        }
    }
}
