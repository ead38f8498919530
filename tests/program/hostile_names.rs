//! Names from files and folders (classes, runs, layers, data sets) in every figure and page: parsed
//! again, they are text and nothing else.

use std::collections::BTreeSet;

use html5gum::{Token, Tokenizer};
use saliq::{
    config::Shape,
    quant::{Histogram, TensorDistribution},
    report::{
        Block, ChartStack, ColorMap, DistributionChart, Grid, GridColumn, LineChart, Report,
        ResultRow, Section, Series, Table, result_table,
    },
};

use crate::support;

/// Short ones: figures shorten what does not fit.
const NAMES: [&str; 10] = [
    "<script>x()</script>",
    "\"onload=\"x()",
    "' onerror='x()",
    "</text></svg><b>",
    "]]><!--&lt;&#60;",
    "a\0b\u{1b}[31m\r\n\u{9f}",
    "javascript:x()",
    "\u{fffe}{{x}}${x}\u{2028}",
    "a\u{202e}b\u{2066}c\u{2069}d",
    "<img src=x> ![x](x) [x](x) `*_~|",
];

/// A name with what no file can hold as spaces.
fn expected(name: &str) -> String {
    name.chars().map(|c| if is_hostile(c) { ' ' } else { c }).collect()
}

/// What neither a terminal nor a file for people may get.
fn is_hostile(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Elements and attributes of figures and pages: nothing that runs, loads or leads elsewhere.
fn assert_harmless(element: &str, attribute: &str, value: &str) {
    const ELEMENTS: &str = " html head meta title style body main header h1 h2 h3 p nav ul li a \
                            section div table thead tbody tr th td figure figcaption img pre code \
                            dl dt dd svg g rect line polyline polygon path circle text tspan image \
                            linearGradient stop defs clipPath ";
    assert!(ELEMENTS.contains(&format!(" {element} ")), "element {element}");
    let known = !attribute.starts_with("on")
        && !["srcdoc", "srcset", "action", "formaction", "data"].contains(&attribute);
    assert!(known, "attribute {attribute} of {element}");
    if matches!(attribute, "href" | "xlink:href" | "src") {
        assert!(
            value.starts_with("#section-") || value.starts_with("data:image/png;base64,"),
            "{attribute}={value}"
        );
    }
    let within = attribute == "style" || attribute == "fill" || attribute.starts_with("stroke");
    assert!(!(within && value.contains("url(")), "{attribute}={value}");
}

/// All text and attribute values of an SVG file, which must be well-formed XML of harmless
/// elements.
fn svg_texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let mut texts = Vec::new();
    for node in document.descendants() {
        assert!(!node.is_comment() && !node.is_pi(), "{svg}");
        if node.is_element() {
            for attribute in node.attributes() {
                assert_harmless(node.tag_name().name(), attribute.name(), attribute.value());
                texts.push(attribute.value().to_owned());
            }
        }
        texts.extend(node.text().filter(|_| node.is_text()).map(|text| text.trim().to_owned()));
    }
    texts
}

/// All text and attribute values of a page, as a browser splits it into elements.
fn html_texts(html: &str) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut texts = Vec::new();
    for token in Tokenizer::new(html).flatten() {
        match token {
            Token::StartTag(tag) => {
                for (name, value) in &tag.attributes {
                    assert_harmless(&text(&tag.name), &text(name), &text(value));
                    texts.push(text(value));
                }
                assert_harmless(&text(&tag.name), "", "");
            }
            Token::String(string) => texts.push(text(&string).trim().to_owned()),
            Token::Comment(comment) => panic!("a comment: {}", text(&comment)),
            Token::Error(error) => panic!("{error:?} in {html}"),
            Token::EndTag(_) | Token::Doctype(_) => {}
        }
    }
    texts
}

#[track_caller]
fn assert_has(texts: &[String], name: &str, times: usize) {
    let wanted = expected(name);
    let found = texts.iter().filter(|text| text.contains(wanted.trim())).count();
    assert!(found >= times, "{name:?} is {found} times in {texts:?}");
}

fn chart(name: &str) -> LineChart {
    LineChart {
        title: name.into(),
        x_label: name.into(),
        y_label: name.into(),
        series: vec![
            Series { name: name.into(), points: vec![(0.0, 1.0), (1.0, 2.0)], ..Series::default() },
            Series {
                name: format!("2{name}"),
                points: vec![(0.0, 2.0), (1.0, 1.0)],
                band: vec![(0.0, 1.0, 2.0)],
                ..Series::default()
            },
        ],
        x_names: vec![name.into(), "b".into()],
        ..LineChart::default()
    }
}

#[test]
fn charts() {
    for name in NAMES {
        let texts = svg_texts(&chart(name).to_svg().unwrap());
        assert_has(&texts, name, 4);
        let texts = svg_texts(&ChartStack(vec![chart(name), chart(name)]).to_svg().unwrap());
        assert_has(&texts, name, 8);
    }
}

#[test]
fn distributions() {
    for name in NAMES {
        let before = Histogram::of(&[-1.0, 0.0, 0.5, 1.0]);
        let tensor = TensorDistribution {
            name: name.into(),
            bits: 2,
            after: before.clone(),
            before,
            levels: vec![-1.0, 0.0, 1.0],
        };
        let texts = svg_texts(&DistributionChart::new(name, &[tensor]).to_svg().unwrap());
        assert_has(&texts, name, 2);
    }
}

#[test]
fn grids() {
    let shape = Shape::new(1, 28, 28);
    let values = vec![0.5; 784];
    for name in NAMES {
        let names = [name.to_owned(), name.to_owned()];
        let grid = Grid {
            title: name,
            shape,
            images: &values,
            labels: &[Some(1)],
            class_names: &names,
            explained: name,
            columns: vec![GridColumn {
                model: name,
                method: "gradient",
                derivative: true,
                saliency: &values,
                channel: None,
                masked: &values,
                predictions: &[0],
                probabilities: &[0.5],
                accuracy: None,
            }],
            colormap: ColorMap::Diverging,
        };
        let texts = svg_texts(&grid.svg().unwrap());
        // Titles and headings are broken at spaces, labels shortened: their first letters are
        // there.
        let start: String =
            expected(name).trim().chars().take(5).take_while(|c| *c != ' ').collect();
        assert!(
            texts.iter().filter(|text| text.contains(&start)).count() >= 3,
            "{start:?} in {texts:?}"
        );
        grid.png().unwrap();
    }
}

#[test]
fn pages() {
    let plain: BTreeSet<String> = html_texts(&page("name", "name").to_html()).into_iter().collect();
    assert!(plain.contains("name"));
    for name in NAMES {
        let texts = html_texts(&page(name, name).to_html());
        assert_has(&texts, name, 20);
        let markdown =
            result_table(&[ResultRow { model: name.into(), ..ResultRow::default() }]).to_markdown();
        assert_eq!(markdown.lines().count(), 3, "{markdown}");
        assert!(!markdown.contains("<script") && !markdown.contains('\u{1b}'), "{markdown}");
        let terminal = Table::new([name], [[name]]).to_text(None);
        assert!(!terminal.contains(|c| is_hostile(c) && c != '\n'), "{terminal:?}");
    }
}

fn page(name: &str, code: &str) -> Report {
    let text = || name.to_owned();
    let blocks = vec![
        Block::Paragraph(text()),
        Block::Table(Table::new([name], [[name]])),
        Block::Image { png: b"not a PNG".to_vec(), alt: text(), caption: text() },
        Block::Svg { svg: chart(name).to_svg().unwrap(), caption: text() },
        Block::Code(format!("first\n\t{code}\nlast")),
        Block::Facts(vec![(text(), text())]),
    ];
    Report {
        title: text(),
        intro: vec![text()],
        sections: vec![Section { title: text(), blocks }; 3],
    }
}

/// Through the program: hostile class names in a model, hostile names of its folder and of the data
/// set's.
#[cfg(unix)]
#[test]
fn through_the_program() {
    use support::{golden, succeed, text, write_folder};
    let root = tempfile::tempdir().unwrap();
    const NAME: &str = "<script>x('\"\u{1b}&<svg onload=x>";
    let data = root.path().join(format!("data{NAME}"));
    write_folder(&data, Shape::new(1, 28, 28), &gray(), &gray());
    let folder = root.path().join(format!("run{NAME}"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(golden("table1"), folder.join("model.safetensors")).unwrap();
    let out = root.path().join("out");
    let arguments = ["--dataset", text(&data), "--normalize", "standard", "--out", text(&out)];
    succeed(&[&["explain", text(&folder), "--count", "2"], &arguments[..]].concat());
    let texts = svg_texts(&std::fs::read_to_string(out.join("grid.svg")).unwrap());
    assert!(texts.iter().any(|text| text.contains("run<script>")), "{texts:?}");
    let quantized = root.path().join("quantized");
    succeed(&[
        "quantize",
        text(&folder),
        "--bits",
        "4,4",
        "--dataset",
        text(&data),
        "--normalize",
        "standard",
        "--out",
        text(&quantized),
    ]);
    let page = std::fs::read_to_string(quantized.join("report.html")).unwrap();
    html_texts(&page);
    svg_texts(&std::fs::read_to_string(quantized.join("histograms.svg")).unwrap());
}

/// Fields of a line of a CSV file.
fn csv_fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let last = fields.last_mut().unwrap();
        match c {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => last.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => last.push(c),
        }
    }
    assert!(!quoted, "{line:?}");
    fields
}

/// What every line of a Markdown file begins with, and how often something could be taken for a
/// link, a picture or a tag.
fn markdown_structure(text: &str) -> Vec<String> {
    let mark = |line: &str| {
        let start: String = line.chars().take_while(|c| "#-|`![".contains(*c)).collect();
        let without_escapes = line.replace("\\[", "").replace("\\]", "").replace("\\`", "");
        let count = |what: &str| without_escapes.matches(what).count();
        format!("{start} {} {} {} {}", count("["), count("]("), count("`"), count("<"))
    };
    text.lines().map(mark).collect()
}

/// The report of a study with hostile names of data set, classes, layers, methods, adapter and
/// version, and a hostile reason of a failure.
#[test]
fn reports_of_studies() {
    use saliq::study::plan::Plan;
    use support::{run, study, text};
    let root = tempfile::tempdir().unwrap();
    let report = |name: &str| {
        let folder = tempfile::tempdir_in(root.path()).unwrap().keep();
        let plan: Plan = study::write(&folder, name);
        let failed = plan.folder(&folder, 2);
        std::fs::remove_file(failed.join("result.json")).unwrap();
        std::fs::write(failed.join("failure.txt"), format!("{name}\nsecond line {name}")).unwrap();
        let written = [&[][..], &["--json"]].map(|more| {
            let output = run(&[&["report", text(&folder)], more].concat());
            assert_eq!(
                output.status.code(),
                Some(0),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
        });
        for stream in written.iter().flat_map(|(out, error)| [out, error]) {
            assert!(!stream.contains(|c| is_hostile(c) && c != '\n'), "{stream:?}");
        }
        let json: serde_json::Value = serde_json::from_str(&written[1].0).unwrap();
        assert_eq!(json["models"][0]["variant"]["dataset"], name);
        let file = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        for chart in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if chart.extension().is_some_and(|extension| extension == "svg") {
                svg_texts(&std::fs::read_to_string(chart).unwrap());
            }
        }
        assert_has(&html_texts(&file("report.html")), name, 5);
        (file("report.md"), file("report.csv"), written[0].0.lines().count())
    };
    let (plain_markdown, plain_csv, plain_lines) = report("name");
    for name in NAMES {
        let (markdown, csv, lines) = report(name);
        for written in [&markdown, &csv] {
            assert!(!written.contains(|c| is_hostile(c) && c != '\n'), "{written:?}");
        }
        assert_eq!(lines, plain_lines, "{name:?}");
        assert_eq!(
            markdown_structure(&markdown),
            markdown_structure(&plain_markdown),
            "{name:?}: {markdown}"
        );
        let rows: Vec<Vec<String>> = csv.lines().map(csv_fields).collect();
        assert!(
            rows.len() == plain_csv.lines().count() && rows.iter().all(|row| row.len() == 8),
            "{csv}"
        );
        assert!(rows[1..].iter().all(|row| row[0] == expected(name)), "{csv}");
        assert!(
            rows.iter().any(|row| row[3] == expected(name))
                && rows.iter().any(|row| row[4].ends_with(&expected(name)))
        );
    }
}

/// A terminal gets nothing of what a file of tile sizes says but its letters.
#[test]
fn notes_that_quote_a_file() {
    let root = tempfile::tempdir().unwrap();
    let tiles = root.path().join("tiles.json");
    let hostile = "x\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}1m\u{202e}";
    let content = serde_json::json!({ "adapter": hostile, "version": hostile, "products": [] });
    std::fs::write(&tiles, content.to_string()).unwrap();
    let output = support::run(&[
        "bench",
        "--steps",
        "1",
        "--batch-size",
        "1",
        "--json",
        "--tiles",
        support::text(&tiles),
    ]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && error.contains("was measured on x"), "{error}");
    assert!(!error.contains(|c| is_hostile(c) && c != '\n'), "{error:?}");
    support::schema::hold("bench", &[serde_json::from_slice(&output.stdout).unwrap()]);
}

/// Twenty images of digits' size.
fn gray() -> saliq::data::Split {
    let pixel = |index: usize| (index * 7919 % 256) as u8;
    saliq::data::Split {
        images: (0..20 * 784).map(pixel).collect(),
        labels: (0..20).map(|index| index % 10).collect(),
    }
}
