//! A C header, compiled by the host's C compiler and run: what `saliq export --format c --verify`
//! holds to the model.

use std::{
    io::{Seek, Write},
    process::{Command, Stdio},
};

use super::{
    ActivationGrid, COptions, DeployableModel, Encoding, IntegerPlan, PixelOrder,
    c_header::{Layout, needs_math},
};
use crate::{Error, Result, config::Shape, error::phrase};

/// Compilers that are tried where the environment variable `CC` names none.
const COMPILERS: [&str; 3] = ["cc", "gcc", "clang"];

/// A compiled header.
pub struct CProgram {
    /// Holds the program as long as it is used.
    folder: tempfile::TempDir,
    /// Of images, and the order of their bytes.
    input: Shape,
    order: PixelOrder,
    activations: Vec<ReplacedLevels>,
    classes: usize,
    /// Whether the library of `<math.h>` is to be linked.
    needs_math: bool,
}

/// The levels of a quantized activation, which the program reads and writes.
struct ReplacedLevels {
    shape: Shape,
    /// What the program has in their place, where it stores the maxima of 2 × 2 alone.
    maxima: Option<Shape>,
    grid: ActivationGrid,
}

impl ReplacedLevels {
    /// Numbers that the program has.
    fn count(&self) -> usize {
        self.maxima.unwrap_or(self.shape).elements() as usize
    }

    /// The places of the four levels of each maximum.
    fn windows(&self, maxima: Shape) -> Vec<[usize; 4]> {
        let (width, pixels) = (self.shape.width as usize, self.shape.pixels() as usize);
        let of = |at: usize| {
            let (own, plane) = (at % maxima.pixels() as usize, at / maxima.pixels() as usize);
            let [row, column] = [own / maxima.width as usize, own % maxima.width as usize];
            let first = plane * pixels + 2 * row * width + 2 * column;
            [first, first + 1, first + width, first + width + 1]
        };
        (0..maxima.elements() as usize).map(of).collect()
    }

    /// What the program is given for `levels`.
    fn given(&self, levels: &[i32]) -> Vec<i32> {
        match self.maxima {
            None => levels.to_vec(),
            Some(maxima) => {
                let most = |window: [usize; 4]| window.map(|at| levels[at]).into_iter().max();
                self.windows(maxima).into_iter().filter_map(most).collect()
            }
        }
    }

    /// What the program made, in place of `levels`. Of maxima: levels that have them and are
    /// otherwise those given.
    fn made(&self, made: Vec<i32>, levels: &[i32]) -> Vec<i32> {
        let Some(maxima) = self.maxima else { return made };
        let mut own = levels.to_vec();
        for (window, most) in self.windows(maxima).into_iter().zip(made) {
            let largest = window.into_iter().max_by_key(|&at| levels[at]).unwrap_or(window[0]);
            window.into_iter().for_each(|at| own[at] = own[at].min(most));
            own[largest] = most;
        }
        own
    }
}

/// What the program made of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CFinding {
    /// The levels that each quantized activation made of those given in front of it.
    pub levels: Vec<Vec<i32>>,
    /// The scores made of the last levels given.
    pub scores: Vec<f64>,
    /// The scores made of the image alone.
    pub alone: Vec<f64>,
    /// The class that the header's own function names.
    pub class: usize,
}

const PROGRAM: &str = if cfg!(windows) { "program.exe" } else { "program" };

fn failed(what: impl std::fmt::Display) -> Error {
    Error::Verification(phrase!("<verify>: {}", what))
}

impl CProgram {
    /// Compiles `header`, which was made of `model` with names that start with `prefix`.
    ///
    /// # Errors
    /// [`Error::Model`] where there is no C compiler, or where it refuses the header.
    pub fn compile(header: &str, prefix: &str, model: &DeployableModel) -> Result<CProgram> {
        CProgram::compile_with(header, prefix, model, COptions::default())
    }

    /// [`Self::compile`] of a header that was made with `options`.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_with(
        header: &str,
        prefix: &str,
        model: &DeployableModel,
        options: COptions,
    ) -> Result<CProgram> {
        let plan = IntegerPlan::new(model);
        let layout = Layout::new(&plan, options.pixels);
        let (mut activations, mut places) = (Vec::new(), Vec::new());
        for (index, step) in plan.steps.iter().enumerate() {
            let Encoding::Levels(grid) = &step.to else { continue };
            if step.activation.is_none() {
                continue;
            }
            let stored = layout.levels(index);
            let Shape { channels, height, width } = stored.shape;
            places.push(format!(
                "{{ {}u, {}u, {}u, {channels}, {height}, {width} }},",
                stored.step, stored.first, stored.row
            ));
            let maxima = stored.are_maxima.then_some(stored.shape);
            let (shape, grid) = (step.output, grid.clone());
            activations.push(ReplacedLevels { shape, maxima, grid });
        }
        let folder = tempfile::Builder::new()
            .prefix("saliq-")
            .tempdir()
            .map_err(|error| failed(format!("no temporary folder: {error}")))?;
        let mut source = include_str!("c_program.c").to_string();
        for (name, value) in [
            ("file", "model.h".to_string()),
            ("replaced", places.join(" ")),
            ("steps", layout.steps().to_string()),
            ("PREFIX", prefix.to_ascii_uppercase()),
            ("prefix", prefix.to_string()),
        ] {
            source = source.replace(&format!("@{name}@"), &value);
        }
        for (name, text) in [("model.h", header), ("program.c", &source)] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).map_err(Error::io("cannot write", &path))?;
        }
        let program = CProgram {
            input: plan.input,
            order: options.pixels,
            activations,
            classes: plan.classes as usize,
            needs_math: needs_math(&plan),
            folder,
        };
        program.build()?;
        Ok(program)
    }

    fn build(&self) -> Result<()> {
        let named = std::env::var("CC").ok().filter(|named| !named.trim().is_empty());
        let candidates = named.as_deref().map_or(COMPILERS.to_vec(), |named| vec![named]);
        for compiler in candidates {
            // As make has it: `CC` may hold arguments.
            let mut words = compiler.split_whitespace();
            let mut command = Command::new(words.next().unwrap_or_default());
            command
                .args(words)
                .args(["-std=c99", "-O2", "program.c", "-o", PROGRAM])
                .args(self.needs_math.then_some("-lm"))
                .current_dir(self.folder.path());
            match command.stdin(Stdio::null()).output() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(failed(format!(
                        "the C compiler {compiler} cannot be started: {error}"
                    )));
                }
                Ok(output) if output.status.success() => return Ok(()),
                Ok(output) => {
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    let first = said
                        .lines()
                        .find(|line| line.contains("error"))
                        .or(said.lines().next())
                        .unwrap_or_default();
                    // Some say nothing, or only on the other stream.
                    let first = match first.trim() {
                        "" => format!("it says nothing and ends with {}", output.status),
                        said => said.to_string(),
                    };
                    return Err(failed(format!(
                        "the C compiler {compiler} refuses the header: {first}"
                    )));
                }
            }
        }
        Err(Error::Verification(match named {
            Some(named) => {
                phrase!(
                    "<verify>: there is no C compiler {}, which the environment variable CC names; \
                     the header cannot be checked",
                    named
                )
            }
            None => phrase!(
                "<verify>: there is no C compiler ({}) to check the header with; install one, name \
                 one in the environment variable CC, or leave out <verify>",
                COMPILERS.join(", ")
            ),
        }))
    }

    /// Runs `images`, each with the levels that its quantized activations are to have.
    ///
    /// # Errors
    /// [`Error::Model`] where the program fails or makes something else than numbers for every
    /// image.
    pub fn run(&self, images: &[(&[u8], &[&[i32]])]) -> Result<Vec<CFinding>> {
        let cannot =
            |error: std::io::Error| failed(format!("the compiled header cannot be run: {error}"));
        let mut input = tempfile::tempfile_in(self.folder.path()).map_err(cannot)?;
        let mut bytes = Vec::new();
        for (image, levels) in images {
            debug_assert_eq!(image.len(), self.input.elements() as usize);
            bytes.extend(self.ordered(image));
            for (levels, own) in levels.iter().zip(&self.activations) {
                let byte = |level: i32| (level + own.grid.zero_point) as u8;
                bytes.extend(own.given(levels).into_iter().map(byte));
            }
        }
        input.write_all(&bytes).and_then(|()| input.rewind()).map_err(cannot)?;
        let mut command = Command::new(self.folder.path().join(PROGRAM));
        let output =
            command.stdin(Stdio::from(input)).stderr(Stdio::null()).output().map_err(cannot)?;
        if !output.status.success() {
            return Err(failed(format!("the compiled header ends with {}", output.status)));
        }
        let levels: usize = self.activations.iter().map(ReplacedLevels::count).sum();
        let size = levels + 8 * self.classes + size_of::<std::ffi::c_int>();
        if output.stdout.len() != images.len() * size {
            return Err(failed("the compiled header does not make the numbers that the model has"));
        }
        let made = output.stdout.chunks_exact(size);
        Ok(made.zip(images).map(|(made, (_, levels))| self.finding(made, levels)).collect())
    }

    /// The bytes of an image [channel][row][column] in the order that the header takes.
    fn ordered(&self, image: &[u8]) -> Vec<u8> {
        let (pixels, channels) = (self.input.pixels() as usize, self.input.channels as usize);
        match self.order {
            PixelOrder::Chw => image.to_vec(),
            PixelOrder::Hwc => {
                (0..image.len()).map(|at| image[at % channels * pixels + at / channels]).collect()
            }
        }
    }

    fn finding(&self, mut made: &[u8], given: &[&[i32]]) -> CFinding {
        let mut take = |count: usize| {
            let (first, rest) = made.split_at(count);
            made = rest;
            first
        };
        let level = |byte: &u8, grid: &ActivationGrid| {
            let number = if grid.is_signed() { i32::from(*byte as i8) } else { i32::from(*byte) };
            number - grid.zero_point
        };
        let levels = self
            .activations
            .iter()
            .zip(given)
            .map(|(own, given)| {
                let made = take(own.count()).iter().map(|byte| level(byte, &own.grid)).collect();
                own.made(made, given)
            })
            .collect();
        let mut floats = || -> Vec<f64> {
            let bytes = take(4 * self.classes);
            bytes.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_ne_bytes(bytes))).collect()
        };
        let (scores, alone) = (floats(), floats());
        let class = take(size_of::<std::ffi::c_int>())
            .as_chunks()
            .0
            .first()
            .map_or(-1, |&bytes| i32::from_ne_bytes(bytes));
        CFinding { levels, scores, alone, class: usize::try_from(class).unwrap_or(usize::MAX) }
    }
}
