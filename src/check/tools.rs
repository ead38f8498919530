//! Validators that may be installed: they judge what naga wrote.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    io::Read,
    path::Path,
    process::{Command, Stdio},
    sync::{LazyLock, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use naga::ShaderStage;

use super::diagnostic::Platform;

/// Longest time for one shader.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A translated shader.
#[derive(Hash)]
pub(super) enum Written {
    /// SPIR-V.
    Words(Vec<u32>),
    /// MSL, HLSL or GLSL, and the entry point's name in it.
    Text(String, String),
}

/// The name of a tool and what it says against a shader; `None` if it says nothing or is not there.
pub(super) fn judge(
    platform: Platform,
    written: &Written,
    stage: ShaderStage,
) -> Option<(&'static str, String)> {
    static FOUND: OnceLock<Vec<&'static str>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        ["spirv-val", "glslangValidator", "dxc", "xcrun"]
            .into_iter()
            .filter(|tool| there(tool))
            .collect()
    });
    let (tool, extension) = match platform {
        Platform::Vulkan => ("spirv-val", "spv"),
        Platform::Gles => ("glslangValidator", "glsl"),
        Platform::Dx12 => ("dxc", "hlsl"),
        Platform::Metal => ("xcrun", "metal"),
        Platform::WebGpu => return None,
    };
    if !found.contains(&tool) {
        return None;
    }
    // Specialisations are often written alike.
    static JUDGED: LazyLock<Mutex<Judged>> = LazyLock::new(Mutex::default);
    let judged = || JUDGED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hasher = DefaultHasher::new();
    (tool, stage, written).hash(&mut hasher);
    let key = hasher.finish();
    let known = judged().get(&key).cloned();
    let said = match known {
        Some(said) => said,
        None => {
            let said = said_by(tool, extension, platform, written, stage);
            judged().insert(key, said.clone());
            said
        }
    };
    Some((if tool == "xcrun" { "metal" } else { tool }, said?))
}

/// What was said of what was written, by its hash.
type Judged = HashMap<u64, Option<String>>;

fn said_by(
    tool: &'static str,
    extension: &str,
    platform: Platform,
    written: &Written,
    stage: ShaderStage,
) -> Option<String> {
    let file = tempfile::Builder::new().suffix(&format!(".{extension}")).tempfile().ok()?;
    let entry = match written {
        Written::Words(words) => {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            std::fs::write(file.path(), bytes).ok()?;
            String::new()
        }
        Written::Text(text, entry) => {
            std::fs::write(file.path(), text).ok()?;
            entry.clone()
        }
    };
    let mut command = Command::new(tool);
    let limits = if platform == Platform::Gles { limits() } else { None };
    match platform {
        Platform::Vulkan => {
            command.args([concat!("-", "-target-env"), "vulkan1.1"]).arg(file.path())
        }
        Platform::Gles => {
            let stage = match stage {
                ShaderStage::Vertex => "vert",
                ShaderStage::Fragment => "frag",
                _ => "comp",
            };
            command.args(["-S", stage]).arg(file.path());
            command.args(limits.as_ref().map(tempfile::NamedTempFile::path))
        }
        Platform::Dx12 => {
            let profile = match stage {
                ShaderStage::Vertex => "vs_6_6",
                ShaderStage::Fragment => "ps_6_6",
                _ => "cs_6_6",
            };
            command.args(["-T", profile, "-E", &entry, "-enable-16bit-types", "-HV", "2018"]);
            command.arg(file.path())
        }
        _ => command.args(["-sdk", "macosx", "metal", "-c", "-o", "/dev/null"]).arg(file.path()),
    };
    // An extension that a tool does not know says nothing about those that know it.
    run(command).err().filter(|said| !said.contains("extension not supported"))
}

/// The limits that glslangValidator judges by, in a file of its own format. Those that it has are
/// of some device; the check has rules of its own for limits.
fn limits() -> Option<tempfile::NamedTempFile> {
    /// WebGPU asks for more than this of nothing.
    const MOST: u32 = 65_536;
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        let said = Command::new("glslangValidator").arg("-c").stdin(Stdio::null()).output();
        let raised = |line: &str| match line.split_once(' ') {
            Some((name, _)) if name.starts_with("Max") => format!("{name} {MOST}\n"),
            _ => format!("{line}\n"),
        };
        let listed = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
        listed.unwrap_or_default().lines().map(raised).collect()
    });
    if text.is_empty() {
        return None;
    }
    let file = tempfile::Builder::new().suffix(".conf").tempfile().ok()?;
    std::fs::write(file.path(), text).ok()?;
    Some(file)
}

fn there(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder: std::path::PathBuf| {
        let plain: &Path = &folder.join(tool);
        plain.is_file() || plain.with_extension("exe").is_file()
    })
}

/// Runs a tool; `Err` is the first line of its complaint. One that cannot run or takes too long
/// says nothing.
fn run(mut command: Command) -> Result<(), String> {
    let started =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = started else { return Ok(()) };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    // Both are read, so that the tool does not wait for room.
    let text = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(stream) = stream {
                let _ = stream.take(1 << 20).read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = text(out.map(|stream| Box::new(stream) as Box<dyn Read + Send>));
    let err = text(err.map(|stream| Box::new(stream) as Box<dyn Read + Send>));
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < TIMEOUT => thread::sleep(Duration::from_millis(2)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(());
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    let said = [err.join().unwrap_or_default(), out.join().unwrap_or_default()].join("\n");
    let complaint = |line: &&str| line.to_ascii_lowercase().contains("error");
    let line = said.lines().find(complaint).or_else(|| said.lines().find(|line| !line.is_empty()));
    Err(line.unwrap_or("it fails without a word").trim().to_owned())
}
