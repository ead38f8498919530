//! From positions in linked text to positions in files.

use super::texts::Texts;

/// A stretch of output that is a copy of a stretch of a file.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    output: u32,
    file: u32,
    start: u32,
}

/// Where every part of a linked text is from.
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct SourceMap {
    stretches: Vec<Stretch>,
    pub(super) texts: Texts,
    /// Names in the linked text with the names that their files have for them.
    pub(super) names: std::collections::HashMap<String, String>,
}

impl SourceMap {
    pub(super) fn push(&mut self, output: usize, file: u32, start: u32) {
        let output = u32::try_from(output).unwrap_or(u32::MAX);
        if let Some(last) = self.stretches.last()
            && last.file == file
            && start.checked_sub(last.start) == Some(output - last.output)
        {
            return;
        }
        self.stretches.push(Stretch { output, file, start });
    }

    /// Moves everything behind a text of `length` bytes.
    pub(super) fn shift(&mut self, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        for stretch in &mut self.stretches {
            stretch.output = stretch.output.saturating_add(length);
        }
    }

    /// File number and offset of the byte at `offset` of the linked text.
    fn origin(&self, offset: usize) -> Option<(usize, usize)> {
        let offset = u32::try_from(offset).ok()?;
        let index = self.stretches.partition_point(|one| one.output <= offset).checked_sub(1)?;
        let stretch = self.stretches[index];
        // What the linker added (white space, values) belongs to what is in front of it.
        let length = (offset - stretch.output) as usize;
        let text = &self.texts.files.get(stretch.file as usize)?.text;
        Some((stretch.file as usize, (stretch.start as usize + length).min(text.len())))
    }

    /// File number, 1-based line and column of a byte of the linked text.
    pub(in crate::check) fn place(&self, offset: usize) -> Option<(usize, u32, u32)> {
        let (file, offset) = self.origin(offset)?;
        let (line, column) = line_column(&self.texts.files[file].text, offset)?;
        Some((file, line, column))
    }

    /// The path of a file by its number.
    pub(in crate::check) fn path(&self, file: usize) -> String {
        self.texts.files.get(file).map(|one| one.path.display().to_string()).unwrap_or_default()
    }

    /// A message about the linked text with the names of the files.
    pub(in crate::check) fn own_names(&self, message: &str) -> String {
        if self.names.is_empty() {
            return message.to_owned();
        }
        let mut own = String::with_capacity(message.len());
        let mut rest = message;
        while let Some(start) = rest.find(|c: char| c.is_alphanumeric() || c == '_') {
            own.push_str(&rest[..start]);
            rest = &rest[start..];
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let word = &rest[..end];
            own.push_str(self.names.get(word).map_or(word, String::as_str));
            rest = &rest[end..];
        }
        own.push_str(rest);
        own
    }
}

/// 1-based line and column in characters of a byte.
pub(in crate::check) fn line_column(text: &str, offset: usize) -> Option<(u32, u32)> {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    let column = before[start..].chars().count() + 1;
    Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?))
}

/// The byte at a 1-based line and column in characters.
pub(in crate::check) fn offset_of(text: &str, line: u32, column: u32) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += text[start..].find('\n')? + 1;
    }
    let line = text[start..].split('\n').next().unwrap_or_default();
    let within = line.char_indices().nth(column.saturating_sub(1) as usize);
    Some(start + within.map_or(line.len(), |(at, _)| at))
}
