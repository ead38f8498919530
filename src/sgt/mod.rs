//! Saliency Guided Training: Algorithm 1 as a recorded list of dispatches. Start reading at
//! [`TrainingStep`].

mod judgement;
mod loss;
mod masking;
mod options;
mod step;
mod teaching;
mod variant;

pub use judgement::{Cause, record_judgement};
pub use loss::{
    Losses, Metrics, record_classification_by, record_classification_of, record_loss,
    record_saliency_seed,
};
pub use masking::{Masking, features_of};
pub use options::{StepInputs, StepOptions};
pub use step::TrainingStep;
pub use teaching::{TeacherModel, Teaching, TeachingSetup};
pub use variant::{MaskingProgress, MaskingSchedule, StepMasking};
