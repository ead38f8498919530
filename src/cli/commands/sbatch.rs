//! A job for Slurm that makes a sweep in parts.

/// A script for `sbatch` that runs `command` in `tasks` parts. The command finds its part in the
/// variables of the array. Slurm makes no folder for logs, so they are where `sbatch` is called.
pub(super) fn sbatch(name: &str, command: &str, tasks: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    format!(
        "#!/bin/bash\n\
         #SBATCH --job-name=saliq-{name}\n\
         #SBATCH --array=1-{tasks}\n\
         #SBATCH --ntasks=1\n\
         #SBATCH --cpus-per-task=4\n\
         #SBATCH --gpus-per-task=1\n\
         #SBATCH --time=24:00:00\n\
         #SBATCH --requeue\n\
         #SBATCH --output=saliq-{name}-%A_%a.log\n\
         \n\
         # Every task makes its part; a task that is run again goes on from the last checkpoint.\n\
         exec srun {command}\n"
    )
}
