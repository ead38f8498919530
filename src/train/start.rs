//! How a run begins: from initial parameters, or from a checkpoint.

use super::{
    Checkpoint, Observer, RunFolder, Start, Trainer,
    calibration::{CalibrationStart, calibrate_activations},
    lock::RunLock,
    outcome::Record,
    ranges::QuantizerHistory,
    running::Running,
};
use crate::{Error, Result, config::QuantizationOverrides, layout::ParameterLayout, model::Model};

impl Trainer<'_> {
    /// Takes the run folder and writes the parameters that the first step works with.
    pub(super) async fn begin<'r>(
        &self,
        start: Start,
        record: &'r mut Record,
        observer: &mut dyn Observer,
    ) -> Result<Running<'r>> {
        let folder = &self.config.out;
        let take = || {
            std::fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
            RunLock::take(folder)
        };
        let quantizers = QuantizerHistory::new(self.gpu, &self.network, self.config.log_every)?;
        let mut replace = start == Start::Replace;
        let mut lock = None;
        if start == Start::Resume {
            let held = take()?;
            match self.resume_point(observer) {
                Ok(checkpoint) => {
                    self.restore(&checkpoint);
                    let folder = RunFolder::reopen(&self.config, checkpoint.progress.metrics_bytes, held)?;
                    return Ok(Running::new(folder, Some(&checkpoint.progress), quantizers, record));
                }
                Err(error @ Error::Usage(_)) => return Err(error),
                Err(error) => {
                    observer.note(&format!("no usable checkpoint, starting over: {error}"));
                    (replace, lock) = (true, Some(held));
                }
            }
        }
        // Before the folder is made: a model that cannot be read leaves none.
        self.initialize().await?;
        let lock = lock.map_or_else(take, Ok)?;
        Ok(Running::new(RunFolder::create(&self.config, replace, lock)?, None, quantizers, record))
    }

    /// The newest checkpoint that is as it was written and belongs to this run. One before it is said, and takes the newest's name.
    fn resume_point(&self, observer: &mut dyn Observer) -> Result<Checkpoint> {
        let [newest, before] = Checkpoint::files(&self.config.out);
        match self.usable(&newest) {
            Err(error) if !matches!(error, Error::Usage(_)) => {
                let Ok(checkpoint) = self.usable(&before) else { return Err(error) };
                let step = checkpoint.progress.step;
                observer.note(&format!("{error}; going on from the checkpoint before it, of step {step}"));
                std::fs::rename(&before, &newest).map_err(Error::io("cannot replace", &newest))?;
                Ok(checkpoint)
            }
            result => result,
        }
    }

    fn usable(&self, path: &std::path::Path) -> Result<Checkpoint> {
        let length = self.network.layout.padded_length() as usize;
        let checkpoint = Checkpoint::load(path, length, self.optimizer.states.len())?;
        for parameter in &self.network.layout.parameters {
            ParameterLayout::check(parameter, &checkpoint.parameters[parameter.range()])
                .map_err(|reason| Error::format(path, format!("not a usable checkpoint: {reason}")))?;
        }
        if checkpoint.progress.settings != self.settings() {
            return Err(Error::Usage(format!(
                "--resume: {} was made with other settings; only --epochs, --steps and logging options may change",
                path.display()
            )));
        }
        let (expected, found) = (checkpoint.progress.metrics_bytes, RunFolder::metrics_length(&self.config.out));
        if found < expected {
            return Err(Error::format(path, format!("belongs to {expected} bytes of metrics, of which {found} are there")));
        }
        Ok(checkpoint)
    }

    fn restore(&self, checkpoint: &Checkpoint) {
        let rate_factor = checkpoint.progress.skips.rate_factor;
        self.optimizer.begin(self.gpu, &self.network, &checkpoint.parameters, rate_factor);
        for (buffer, state) in self.optimizer.states.iter().zip(&checkpoint.states) {
            self.gpu.write(buffer, 0, state);
        }
    }

    /// Initial parameters: of `--init`, or random; each α from `--alpha-init`, else the file, else calibration.
    async fn initialize(&self) -> Result<()> {
        let layout = &self.network.layout;
        let quantization = &self.config.quantization;
        let mut parameters = layout.initialize(self.config.seed, self.config.weight_init);
        let mut missing: Vec<String> = layout.calibrated().map(|parameter| parameter.name.clone()).collect();
        if let Some(path) = &self.config.init {
            let model = Model::load(path, &QuantizationOverrides::default())?;
            let file = crate::model::tensors_of(&model)?;
            (parameters, missing) = crate::model::fill(&file, layout, &model.layout, &model.path)?;
        }
        if let Some(alpha) = quantization.alpha_init {
            for parameter in layout.alphas() {
                parameters[parameter.offset as usize] = alpha;
            }
        } else if !missing.is_empty() {
            let live = self.config.freeze_bn_after != Some(0);
            let start = CalibrationStart { layout, parameters: &parameters, live, batch_size: self.config.batch_size };
            let (network, normalization) = (&self.config.network, self.normalization);
            for (name, value) in
                calibrate_activations(self.gpu, network, quantization, &start, &self.train, normalization).await?
            {
                if let Some(parameter) = layout.find(&name).filter(|_| missing.contains(&name)) {
                    parameters[parameter.offset as usize] = value;
                }
            }
        }
        self.optimizer.begin(self.gpu, &self.network, &parameters, 1.0);
        Ok(())
    }
}
