//! A self-contained HTML page: without scripts or network access, in light and dark colours,
//! printable.

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Table, text::plain, write_atomically};
use crate::Result;

/// A page with a title, a few sentences of results, and sections.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// Sentences below the title: the results in words, computed by the caller.
    pub intro: Vec<String>,
    /// The sections; three or more get a table of contents.
    pub sections: Vec<Section>,
}

/// A heading with its contents.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// Contents, top to bottom.
    pub blocks: Vec<Block>,
}

/// A piece of content. All text is escaped, and control characters become spaces.
#[derive(Clone, Debug)]
pub enum Block {
    /// A heading inside a section.
    Heading(String),
    /// A paragraph of text.
    Paragraph(String),
    /// A table.
    Table(Table),
    /// An embedded picture.
    Image {
        /// The bytes of a PNG file.
        png: Vec<u8>,
        /// Alternative text.
        alt: String,
        /// Caption.
        caption: String,
    },
    /// An embedded chart. The SVG is put into the page unchanged, so it must be made by this
    /// program ([`super::LineChart::to_svg`]).
    Svg {
        /// The `<svg>` element.
        svg: String,
        /// Caption.
        caption: String,
    },
    /// Preformatted text, e.g. a configuration file or a command.
    Code(String),
    /// Names and values, e.g. settings.
    Facts(Vec<(String, String)>),
    /// Terms and their explanations, below the table or figure that uses them.
    Terms(Vec<(String, String)>),
}

const STYLE: &str = include_str!("report.css");

impl Report {
    /// The whole page.
    pub fn to_html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    // With this policy nothing is loaded and nothing runs, whatever names the data
                    // contains.
                    meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src \
                        data:; style-src 'unsafe-inline'";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content=(concat!("saliq ", env!("CARGO_PKG_VERSION")));
                    title { (plain(&self.title)) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    main {
                        header {
                            h1 { (plain(&self.title)) }
                            @for sentence in &self.intro { p.intro { (plain(sentence)) } }
                        }
                        @if self.sections.len() > 2 {
                            nav aria-label="Contents" {
                                ul { @for (index, section) in self.sections.iter().enumerate() {
                                    li {
                                        a href=(format!("#section-{}", index + 1)) {
                                            (plain(&section.title))
                                        }
                                    }
                                } }
                            }
                        }
                        @for (index, section) in self.sections.iter().enumerate() {
                            section id=(format!("section-{}", index + 1)) {
                                h2 { (plain(&section.title)) }
                                @for block in &section.blocks { (block.to_html()) }
                            }
                        }
                    }
                }
            }
        };
        page.into_string()
    }

    /// Writes the page to `path`, atomically.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), self.to_html().as_bytes())
    }
}

impl Block {
    fn to_html(&self) -> Markup {
        let figure = |content: Markup, caption: &str| {
            html! {
                figure {
                    (content)
                    @if !caption.is_empty() { figcaption { (plain(caption)) } }
                }
            }
        };
        match self {
            Block::Heading(text) => html! { h3 { (plain(text)) } },
            Block::Paragraph(text) => html! { p { (plain(text)) } },
            Block::Table(table) => table.to_html(),
            Block::Image { png, alt, caption } => figure(
                html! {
                    div.picture {
                        img src=(format!("data:image/png;base64,{}", base64(png)))
                            alt=(plain(alt)) width=[png_width(png)];
                    }
                },
                caption,
            ),
            Block::Svg { svg, caption } => {
                figure(html! { div.chart { (PreEscaped(svg)) } }, caption)
            }
            Block::Code(code) => {
                // Line breaks and tabs are kept.
                let code: String = code
                    .split_inclusive(['\n', '\t'])
                    .map(|part| match part.char_indices().last() {
                        Some((at, end @ ('\n' | '\t'))) => format!("{}{end}", plain(&part[..at])),
                        _ => plain(part),
                    })
                    .collect();
                html! { pre { code { (code) } } }
            }
            Block::Facts(facts) => {
                html! {
                    dl {
                        @for (name, value) in facts {
                            div { dt { (plain(name)) } dd { (plain(value)) } }
                        }
                    }
                }
            }
            Block::Terms(terms) => {
                html! {
                    dl.terms {
                        @for (name, meaning) in terms {
                            div { dt { (plain(name)) } dd { (plain(meaning)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Width in pixels from the header of a PNG file, so that the layout does not change while the
/// pictures are decoded.
fn png_width(png: &[u8]) -> Option<u32> {
    let bytes = png.get(16..20)?.try_into().ok()?;
    png.starts_with(b"\x89PNG").then(|| u32::from_be_bytes(bytes))
}

/// Base64 with padding (RFC 4648, section 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .enumerate()
            .fold(0_u32, |bits, (i, &byte)| bits | u32::from(byte) << (16 - 8 * i));
        for i in 0..4 {
            out.push(if i <= chunk.len() {
                ALPHABET[(bits >> (18 - 6 * i) & 63) as usize] as char
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_test_vectors_of_the_standard() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (input, output) in vectors {
            assert_eq!(base64(input.as_bytes()), output);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
