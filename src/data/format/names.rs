//! Names of files and folders: which are pictures, which belong to the system.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// Why files of Python objects are not read.
pub(super) const PICKLE: &str = "holds Python objects (a pickle), which can run code when read; \
                                 save the arrays with numpy.savez";

/// Extensions of pictures that are read.
const PICTURES: [&str; 9] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif"];
/// Extensions of files that are images to their owner, but are not read.
const OTHER_PICTURES: [&str; 38] = [
    "tif", "tiff", "ppm", "pgm", "pbm", "pnm", "pfm", "heic", "heif", "avif", "svg", "svgz", "psd",
    "npy", "npz", "pdf", "jxl", "jp2", "j2k", "jpx", "jxr", "ico", "tga", "exr", "hdr", "dds",
    "dcm", "nii", "raw", "dng", "cr2", "nef", "arw", "eps", "qoi", "apng", "mp4", "pcx",
];

/// What a file in a class folder is, by the extension of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A picture that is read.
    Picture,
    /// A picture in a format that is not read.
    Unread,
    /// Something else, which nobody means to be an image.
    None,
}

impl Use {
    pub fn of(path: &Path) -> Use {
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let extension = extension.to_ascii_lowercase();
        if PICTURES.contains(&extension.as_str()) {
            Use::Picture
        } else if OTHER_PICTURES.contains(&extension.as_str()) {
            Use::Unread
        } else {
            Use::None
        }
    }
}

/// Whether a file or folder is hidden or belongs to an operating system or a file server.
pub(super) fn is_of_system(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let lower = name.to_lowercase();
    name.starts_with('.')
        || matches!(
            lower.as_str(),
            "__macosx"
                | "@eadir"
                | "#recycle"
                | "$recycle.bin"
                | "system volume information"
                | "lost+found"
                | "thumbs.db"
                | "ehthumbs.db"
                | "desktop.ini"
                | "__pycache__"
        )
}

/// Files and folders of `folder` that do not belong to the system, by the bytes of their names. A
/// symbolic link is what it points to; one that points nowhere is a file.
pub(super) fn list(folder: &Path) -> Result<Vec<Item>> {
    let entries = fs::read_dir(folder).map_err(Error::io("cannot read", folder))?;
    let mut items = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("cannot read", folder))?;
        let name = entry.file_name();
        if is_of_system(&name) {
            continue;
        }
        let path = entry.path();
        // Of a link, the type is that of its target.
        let is_folder = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => kind.is_dir(),
            _ => path.is_dir(),
        };
        items.push(Item { path, is_folder });
    }
    items.sort_unstable_by(|one, other| {
        let bytes = |item: &Item| item.name().as_encoded_bytes().to_vec();
        bytes(one).cmp(&bytes(other))
    });
    Ok(items)
}

/// A file or folder.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub path: PathBuf,
    pub is_folder: bool,
}

impl Item {
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// The name in lower case.
    pub fn lower(&self) -> String {
        self.name().to_string_lossy().to_lowercase()
    }
}

/// The message for a folder without a data set.
pub(super) fn no_data_set(folder: &Path) -> String {
    format!(
        "{}: not a folder with a data set: lacks train/CLASS/* and test/CLASS/* pictures, \
         train-images-idx3-ubyte and its companions, CIFAR's binary files, .npy pairs, an .npz, \
         .csv or .safetensors file",
        folder.display()
    )
}
