//! Numbers that stand for a choice, for kernels and host alike: the modules here are those that a
//! kernel imports, as in `import kinds::activation::{NONE, RELU};`.

/// Declares modules of numbers, and [`ALL`] of them for the linker.
macro_rules! kinds {
    ($(
        $(#[$about:meta])*
        $module:ident { $($(#[$meaning:meta])* $name:ident = $number:expr),+ $(,)? }
    )+) => {
        $(
            $(#[$about])*
            pub mod $module {
                $($(#[$meaning])* pub const $name: u32 = $number;)+
            }
        )+

        /// Names of modules, each with names and numbers.
        pub(super) const ALL: &[(&str, &[(&str, u32)])] =
            &[$((stringify!($module), &[$((stringify!($name), $module::$name)),+])),+];
    };
}

kinds! {
    /// ACTIVATION and INPUT_ACTIVATION: what a layer applies. From `PACT_UNSIGNED` on there is a
    /// parameter, from `LSQ_UNSIGNED` on it is a step. Below `PACT_UNSIGNED` are functions; behind
    /// each of them LSQ+ can stand.
    activation {
        /// Nothing.
        NONE = 0,
        /// ReLU.
        RELU = 1,
        /// ReLU6.
        RELU6 = 2,
        /// LeakyReLU.
        LEAKY_RELU = 3,
        /// The hyperbolic tangent.
        TANH = 4,
        /// The logistic function.
        SIGMOID = 5,
        /// x times its logistic function.
        SILU = 6,
        /// x·ReLU6(x + 3)/6.
        HARD_SWISH = 7,
        /// PACT, levels from 0 to α.
        PACT_UNSIGNED = 8,
        /// PACT, levels from −α to α.
        PACT_SIGNED = 9,
        /// PACT's signed levels behind a ReLU: from 0 to α.
        PACT_SIGNED_AFTER_RELU = 10,
        /// LSQ on the grid of `PACT_UNSIGNED`.
        LSQ_UNSIGNED = 11,
        /// LSQ on the grid of `PACT_SIGNED`.
        LSQ_SIGNED = 12,
        /// LSQ on the grid of `PACT_SIGNED_AFTER_RELU`.
        LSQ_SIGNED_AFTER_RELU = 13,
        /// Added to a function's number: LSQ+ of its values, with a step and an offset.
        LSQ_PLUS = 32,
    }
    /// QUANTIZER: of a layer's weights.
    quantizer {
        /// None.
        NONE = 0,
        /// Affine, paper eq. (1).
        AFFINE = 1,
        /// DoReFa.
        DOREFA = 2,
        /// SAWB.
        SAWB = 3,
        /// Symmetric, from the largest magnitude.
        SYMMETRIC = 4,
        /// LSQ.
        LSQ = 5,
        /// Signs, with the mean magnitude.
        BINARY = 6,
    }
    /// MOMENTUM of `optimizer_sgd`.
    momentum {
        /// None.
        NONE = 0,
        /// torch.optim.SGD's.
        PLAIN = 1,
        /// Nesterov's form.
        NESTEROV = 2,
    }
    /// FILL of `fill_masked`: what a masked pixel becomes.
    mask_fill {
        /// Independent random values from U(min, max) of the image.
        UNIFORM = 0,
        /// 0.
        ZERO = 1,
        /// The mean of the image, per channel.
        MEAN = 2,
        /// The image's pixel (0, 0), per channel.
        CORNER = 3,
        /// A Gaussian blur of the image.
        BLUR = 4,
    }
    /// TARGET of `saliency_seed`: the scalar of an image whose gradient is taken.
    saliency_target {
        /// Log-softmax at the label.
        LOG_SOFTMAX_LABEL = 0,
        /// The logit at the label.
        LOGIT_LABEL = 1,
        /// The logit at the predicted class.
        LOGIT_PREDICTED = 2,
        /// Log-softmax at the predicted class.
        LOG_SOFTMAX_PREDICTED = 3,
    }
    /// POLICY of `judge_step`: what becomes of a step that does not count.
    policy {
        /// No update is made from it on, until the host has looked at it.
        STOP = 0,
        /// Its update is not made.
        SKIP = 1,
        /// Likewise, and the learning rate is halved for those that follow.
        LOWER_RATE = 2,
    }
    /// First word of a verdict of `judge_step`: why a step does not count.
    cause {
        /// It counts.
        NOTHING = 0,
        /// A loss is NaN or infinite.
        LOSS = 1,
        /// The mean cross entropy is too large.
        EXPLODED = 2,
        /// A gradient is NaN or infinite.
        GRADIENT = 3,
        /// The update would make a parameter or a state NaN or infinite.
        UPDATE = 4,
        /// An earlier step stopped the run.
        HALTED = 5,
    }
    /// KIND of `sample_images` and `accumulate_scores`: what a sample of an image is.
    sampling {
        /// The image itself.
        CLEAN = 0,
        /// The image with normal noise.
        NOISY = 1,
        /// A point on the path from a baseline.
        ON_PATH = 2,
        /// A random point on the path from a random baseline to a noisy copy.
        ON_RANDOM_PATH = 3,
        /// With a window of the baseline; sample 0 is the image itself.
        COVERED = 4,
        /// Through a random mask, over the baseline.
        MASKED = 5,
    }
    /// KIND of `accumulate_gradients`: what becomes of the gradients of an image's samples.
    gradient_sum {
        /// Their mean.
        MEAN = 0,
        /// The mean of their squares.
        MEAN_SQUARE = 1,
        /// Their variance.
        VARIANCE = 2,
        /// The gradient times the image.
        TIMES_INPUT = 3,
        /// The weighted sum times the difference from the baseline.
        FROM_BASELINE = 4,
        /// The mean of gradients times the differences from random baselines.
        FROM_RANDOM_BASELINES = 5,
    }
    /// KIND of `class_score`: what a sample's logits say of its class.
    score {
        /// The class's logit.
        LOGIT = 0,
        /// Its log-probability.
        LOG_PROBABILITY = 1,
        /// Its probability.
        PROBABILITY = 2,
    }
    /// Streams of random numbers, those of `crate::random` that kernels draw from.
    stream {
        /// The order of an epoch.
        SHUFFLE = crate::random::SHUFFLE,
        /// Augmentation.
        AUGMENT = crate::random::AUGMENT,
        /// Values of masked features.
        FILL = crate::random::FILL,
        /// Attribution at random.
        EXPLAIN = crate::random::EXPLAIN,
        /// Noise of attribution methods.
        NOISE = crate::random::NOISE,
        /// Points on the paths of attribution methods.
        PATH = crate::random::PATH,
        /// Masks of attribution methods.
        MASKS = crate::random::MASKS,
        /// Noise of judgements.
        PERTURB = crate::random::PERTURB,
        /// Dropout layer 0; layer L draws from `DROPOUT + L`.
        DROPOUT = crate::random::DROPOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_see_the_numbers() {
        let linked = crate::shaders::link("judge_step", &Default::default()).unwrap().wgsl.clone();
        for (name, number) in [("cause_HALTED", cause::HALTED), ("policy_STOP", policy::STOP)] {
            let expected = format!("const kinds_{name} = {number}u;");
            assert!(linked.contains(&expected), "{expected} in\n{linked}");
        }
    }

    #[test]
    fn numbers_of_a_module_differ() {
        for (module, numbers) in ALL {
            let mut all: Vec<u32> = numbers.iter().map(|&(_, number)| number).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), numbers.len(), "{module}");
        }
    }
}
