//! Figures and reports from plain numbers.

use std::path::Path;

use saliq::config::Shape;
use saliq::report::{
    Block, ChartStack, ColorMap, DotChart, Dots, Filmstrip, Grid, GridColumn, LineChart, Quantity,
    Report, ResultRow, Section, Series, Table, result_table, result_terms,
};

const HOSTILE: &str = "<script>alert('x')</script>\"&\u{1b}[31m";

/// A deterministic, not constant array.
fn values(count: usize, low: f32, high: f32) -> Vec<f32> {
    (0..count).map(|i| low + (high - low) * ((i * 7919 + 13) % 1009) as f32 / 1008.0).collect()
}

/// Calls `check` with a grid of `rows` images and `models` columns, all predictions right but the
/// first.
fn with_grid(shape: Shape, rows: usize, models: usize, check: impl FnOnce(Grid)) {
    let size = rows * shape.elements() as usize;
    let (images, maps) = (values(size, 0.0, 1.0), values(size, -1.0, 1.0));
    let labels: Vec<Option<u32>> = (0..rows).map(|i| Some(i as u32 % 10)).collect();
    let predictions: Vec<u32> = (0..rows).map(|i| if i == 0 { 9 } else { i as u32 % 10 }).collect();
    let probabilities = vec![0.75; rows];
    let column = GridColumn {
        model: "(4,2)",
        method: "gradient",
        derivative: true,
        saliency: &maps,
        channel: None,
        masked: &images,
        predictions: &predictions,
        probabilities: &probabilities,
        accuracy: Some((0.98, 1000)),
    };
    check(Grid {
        title: "Title",
        shape,
        images: &images,
        labels: &labels,
        class_names: &[],
        explained: "the predicted class",
        columns: vec![column; models],
        colormap: ColorMap::Diverging,
    });
}

#[test]
fn grids_grow_with_rows_and_columns_and_fit_every_shape() {
    let size = |shape, rows, models| {
        let mut size = (0, 0);
        with_grid(shape, rows, models, |grid| size = grid.render().dimensions());
        size
    };
    for (channels, side) in [(1, 8), (1, 28), (3, 32), (3, 64), (2, 17)] {
        let shape = Shape::new(channels, side, side);
        let (wide, high) = size(shape, 1, 4);
        let (wider, higher) = size(shape, 40, 8);
        // Each row and each pair of cells is at least as large as the pictures in it, which are at
        // least 84 pixels.
        assert!(higher - high >= 39 * 84, "{shape:?}");
        assert!(wider - wide >= 4 * 2 * 84, "{shape:?}");
    }
    let (width, height) = size(Shape::new(1, 28, 28), 0, 0);
    assert!(width >= 300 && height >= 50, "{width} × {height}");
    let (width, _) = size(Shape::new(1, 1000, 3), 1, 1);
    assert!(width < 1000, "{width}");
}

#[test]
fn a_grid_as_svg_has_the_same_pictures_and_its_text_as_text() {
    with_grid(Shape::new(1, 28, 28), 3, 2, |mut grid| {
        grid.title = "a < b & \"c\"";
        let (svg, image) = (grid.svg().unwrap(), grid.render());
        let (width, height) = image.dimensions();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains(&format!("width=\"{width}\" height=\"{height}\"")));
        assert!(svg.contains(">a &lt; b &amp; ") && !svg.contains("a < b"));
        // The image, then map, overlay and masked image of two columns, in three rows; each of 28 ×
        // 28 pixels, three times as large.
        assert_eq!(svg.matches("<image ").count(), 3 * (1 + 2 * 3));
        assert_eq!(svg.matches("width=\"84\" height=\"84\"").count(), 3 * (1 + 2 * 3));
        assert_eq!(svg.matches(">gradient</text>").count(), 2);
        assert_eq!(svg, grid.svg().unwrap());
        grid.images = &grid.images[1..];
        assert_eq!(grid.svg().unwrap_err().to_string(), grid.png().unwrap_err().to_string());
    });
}

#[test]
fn a_written_grid_is_a_png_of_the_rendered_size_and_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    with_grid(Shape::new(1, 28, 28), 3, 2, |grid| {
        let path = folder.path().join("figures/grid.png");
        grid.write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes, grid.png().unwrap());
        assert_eq!(image::load_from_memory(&bytes).unwrap().into_rgb8(), grid.render());
    });
    assert_eq!(std::fs::read_dir(folder.path().join("figures")).unwrap().count(), 1);
}

/// Strongly red pixels, as the text of a wrong prediction has; the maps are kept out of it by the
/// grey colour map.
fn red_pixels(grid: &Grid) -> usize {
    grid.render().pixels().filter(|p| p.0[0] > 140 && p.0[1] < 90 && p.0[2] < 90).count()
}

#[test]
fn wrong_predictions_are_red() {
    with_grid(Shape::new(1, 28, 28), 3, 1, |mut grid| {
        grid.colormap = ColorMap::Gray;
        assert!(red_pixels(&grid) > 20);
        grid.columns[0].predictions = &[0, 1, 2];
        assert_eq!(red_pixels(&grid), 0);
    });
}

#[test]
fn only_an_image_without_a_label_is_neither_right_nor_wrong() {
    with_grid(Shape::new(1, 28, 28), 3, 1, |mut grid| {
        grid.colormap = ColorMap::Gray;
        grid.columns[0].predictions = &[0, 0, 0];
        let with = |labels: &[Option<u32>]| {
            let grid = Grid { labels, ..grid.clone() };
            (red_pixels(&grid), grid.svg().unwrap())
        };
        assert_eq!(with(&[None; 3]).0, 0);
        for label in [255, 256, 65_535, u32::MAX] {
            let (wrong, svg) = with(&[None, Some(label), Some(0)]);
            assert!(wrong > 20 && svg.contains(&format!(">{label}<")), "{label}: {wrong}");
        }
    });
}

#[test]
fn nearest_neighbour_cells_show_the_image_exactly() {
    let images = [0.0, 1.0, 1.0, 0.0];
    let grid = Grid {
        title: "",
        shape: Shape::new(1, 2, 2),
        images: &images,
        labels: &[Some(0)],
        class_names: &[],
        explained: "the predicted class",
        columns: Vec::new(),
        colormap: ColorMap::Gray,
    };
    let picture = grid.render();
    // The only black area larger than text: two squares of 42 × 42 and the dark end of the colour
    // bar.
    let black = picture.pixels().filter(|p| p.0 == [0; 3]).count();
    assert!((2 * 42 * 42..2 * 42 * 42 + 200).contains(&black), "{black}");
}

#[test]
fn grids_of_the_wrong_length_are_refused_and_still_do_not_panic() {
    with_grid(Shape::new(1, 28, 28), 2, 1, |mut grid| {
        grid.columns[0].saliency = &grid.columns[0].saliency[..100];
        let error = grid.png().unwrap_err().to_string();
        assert!(
            error.contains("(4,2)") && error.contains("100") && error.contains("1568"),
            "{error}"
        );
        assert!(
            grid.render().pixels().any(|p| p.0 == [255, 0, 255]),
            "missing values must be seen"
        );
        grid.columns[0].predictions = &[];
        grid.render();
    });
    with_grid(Shape::new(1, 28, 28), 2, 1, |mut grid| {
        grid.columns[0].probabilities = &[0.5];
        assert!(grid.png().unwrap_err().to_string().contains("1 probabilities for 2 images"));
    });
}

#[test]
fn filmstrips_show_at_most_twelve_steps() {
    let shape = Shape::new(1, 8, 8);
    let images = values(3 * 64, 0.0, 1.0);
    let strip = |frames: u64| Filmstrip {
        title: "During training",
        shape,
        images: &images,
        labels: &[1, 2, 3],
        class_names: &[],
        frames: (0..frames).map(|step| (step * 10, values(3 * 64, -1.0, 1.0))).collect(),
        colormap: ColorMap::Diverging,
    };
    let width = |frames| strip(frames).render().width();
    assert!(width(12) > width(6));
    assert_eq!(width(12), width(13));
    assert_eq!(strip(40).png().unwrap(), strip(40).png().unwrap());
    strip(0).png().unwrap();
    let mut broken = strip(2);
    broken.frames[1].1.pop();
    assert!(broken.png().unwrap_err().to_string().contains("step 10"));
}

fn chart(series: Vec<Series>, log_y: bool) -> String {
    let chart = LineChart {
        title: HOSTILE.into(),
        x_label: HOSTILE.into(),
        y_label: "loss & more".into(),
        log_y,
        series,
        ..LineChart::default()
    };
    let svg = chart.to_svg().unwrap();
    assert_eq!(svg, chart.to_svg().unwrap());
    assert!(
        !svg.contains("<script")
            && !svg.contains('\u{1b}')
            && !svg.contains("NaN")
            && !svg.contains("inf"),
        "{svg}"
    );
    // Placeholder colours are all replaced.
    assert!(!svg.contains("\"#0102") && !svg.contains("\"#010101"), "{svg}");
    assert_eq!(svg.matches("<svg").count(), 1);
    assert!(svg.trim_end().ends_with("</svg>"));
    svg
}

fn series(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.into(), points, ..Series::default() }
}

#[test]
fn charts_survive_every_kind_of_data() {
    let line =
        |f: fn(f64) -> f64| (0..50).map(|i| (f64::from(i), f(f64::from(i)))).collect::<Vec<_>>();
    for log_y in [false, true] {
        for points in [
            vec![],
            vec![(0.0, f64::NAN)],
            vec![(f64::INFINITY, 1.0)],
            vec![(1.0, 0.5)],
            vec![(1.0, 0.0)],
            vec![(1.0, f64::MAX), (2.0, f64::MIN_POSITIVE)],
            vec![(2.0, 1e-99), (2.0, 1e99)],
            line(|_| 3.0),
            line(|_| 0.0),
            line(|x| -x),
            line(|x| if x % 7.0 == 0.0 { f64::NAN } else { x }),
        ] {
            for smooth in [false, true] {
                chart(
                    vec![Series {
                        name: HOSTILE.into(),
                        points: points.clone(),
                        smooth,
                        ..Series::default()
                    }],
                    log_y,
                );
            }
        }
    }
    assert!(chart(vec![], false).contains("no data"));
    assert!(chart(vec![series("a", vec![(0.0, -1.0)])], true).contains("no data"));
}

#[test]
fn series_are_told_apart_by_colour_and_dash() {
    let svg = chart(
        (0..9).map(|i| series(&format!("s{i}"), vec![(0.0, f64::from(i)), (1.0, 1.0)])).collect(),
        false,
    );
    for color in ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"] {
        assert!(svg.contains(&format!("stroke=\"{color}\"")), "{color}");
    }
    assert!(svg.matches("stroke-dasharray").count() >= 12, "{svg}");
    for i in 0..9 {
        assert!(svg.contains(&format!("\ns{i}\n")), "the legend lacks s{i}: {svg}");
    }
}

#[test]
fn long_lines_stay_small_files() {
    let points: Vec<_> = (0..200_000).map(|i| (f64::from(i), f64::from(i % 97))).collect();
    let svg = chart(
        vec![Series { name: "long".into(), points, smooth: true, ..Series::default() }],
        false,
    );
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
}

/// The texts of an SVG file, in their order.
fn texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let texts = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text());
    texts.map(|text| text.trim().to_string()).collect()
}

/// Lines of an SVG file by their number of points, those of grids and axes apart.
fn polylines(svg: &str) -> Vec<usize> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let is_data = |node: &roxmltree::Node| {
        node.attribute("stroke").is_some_and(|color| color.starts_with('#'))
    };
    let lines = document.descendants().filter(|node| node.has_tag_name("polyline")).filter(is_data);
    lines.map(|node| node.attribute("points").unwrap().split_whitespace().count()).collect()
}

fn lines(quantity: Quantity, series: Vec<Series>) -> LineChart {
    LineChart { x_label: "x".into(), y_label: "y".into(), quantity, series, ..LineChart::default() }
}

#[test]
fn counts_stand_at_whole_ticks() {
    for last in [2, 3, 4, 5, 7, 12, 188] {
        let points =
            (1..=last).map(|x| (f64::from(x), 5000.0 + 100.0 * f64::from(x % 3))).collect();
        let texts = texts(&lines(Quantity::Number, vec![series("", points)]).to_svg().unwrap());
        let labels = texts.iter().filter_map(|text| text.parse::<f64>().ok());
        let own: Vec<f64> = labels.filter(|label| *label < 1000.0).collect();
        assert!(own.len() > 1 && own.iter().all(|label| label.fract() == 0.0), "{last}: {texts:?}");
    }
}

#[test]
fn an_axis_that_is_cut_says_so_in_the_chart() {
    let accuracy = |values: &[f64]| {
        let points = values.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
        texts(&lines(Quantity::Percent, vec![series("", points)]).to_svg().unwrap())
    };
    assert!(
        accuracy(&[91.2, 98.7]).contains(&"axis from 90 %".into()),
        "{:?}",
        accuracy(&[91.2, 98.7])
    );
    assert!(!accuracy(&[11.0, 98.7]).iter().any(|text| text.contains("axis from")));
    // Far from 0 along the other axis, as the steps of a training that goes on.
    let later = (100..150).map(|step| (f64::from(step), 1.0)).collect();
    let shown = texts(&lines(Quantity::WithZero, vec![series("", later)]).to_svg().unwrap());
    assert!(shown.contains(&"x (axis from 100)".into()), "{shown:?}");
    let mut log = lines(Quantity::Number, vec![series("", vec![(0.0, 1.0), (1.0, 10.0)])]);
    log.log_y = true;
    assert!(texts(&log.to_svg().unwrap()).contains(&"y (logarithmic)".into()));
}

#[test]
fn rounding_does_not_fill_an_axis() {
    let chart = |quantity, values: [f64; 2]| {
        let points = values.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
        texts(&lines(quantity, vec![series("", points)]).to_svg().unwrap())
    };
    let shown = chart(Quantity::Correlation, [0.999_999_987, 1.0]);
    assert!(shown.contains(&"0.90".into()) && shown.contains(&"1.00".into()), "{shown:?}");
    let shown = chart(Quantity::Percent, [97.0, 97.01]);
    assert!(shown.contains(&"95".into()) && shown.contains(&"99".into()), "{shown:?}");
    // Nothing lies beyond what the quantity can be.
    let shown = chart(Quantity::Percent, [99.9, 100.0]);
    assert!(shown.contains(&"100".into()) && !shown.contains(&"101".into()), "{shown:?}");
}

fn dots(values: Vec<Vec<Option<(f64, f64, f64)>>>) -> DotChart {
    let names = (0..values[0].len()).map(|row| format!("model {row}")).collect();
    let dots = values.into_iter().enumerate();
    let dots =
        dots.map(|(index, values)| Dots { name: format!("method {index}"), values, style: None });
    let (title, note, label) = ("title".into(), "what it means".into(), "value, 0 to 1".into());
    DotChart { title, note, label, quantity: Quantity::Share, names, dots: dots.collect() }
}

#[test]
fn dots_have_bars_and_no_line_between_them() {
    let chart = dots(vec![
        vec![Some((0.5, 0.4, 0.6)), Some((0.6, 0.5, 0.7)), None, Some((0.9, f64::NAN, f64::NAN))],
        vec![Some((0.1, 0.0, 0.2)), None, None, Some((f64::NAN, 0.0, 1.0))],
    ]);
    let svg = chart.to_svg().unwrap();
    // Three intervals and two samples in the legend: a bar and a stroke across each of its ends.
    assert_eq!(polylines(&svg), vec![2; 3 * (3 + 2)]);
    let shown = texts(&svg);
    for text in
        ["title", "what it means", "value, 0 to 1", "method 0", "method 1", "model 0", "model 3"]
    {
        assert!(shown.contains(&text.into()), "{text} in {shown:?}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("\"#0102") && !svg.contains("\"#0103"), "{svg}");
    // A row for every model, a line of the row for every method.
    let taller = dots(vec![vec![Some((0.5, 0.4, 0.6)); 9]; 4]);
    let height =
        |chart: &DotChart| image::load_from_memory(&chart.to_png().unwrap()).unwrap().height();
    assert!(height(&taller) > height(&chart) + 300);
    let stack = ChartStack(vec![chart.clone(), taller.clone()]);
    assert_eq!(
        image::load_from_memory(&stack.to_png().unwrap()).unwrap().height(),
        height(&chart) + height(&taller)
    );
    for empty in [DotChart::default(), dots(vec![vec![None]]), dots(vec![Vec::new()])] {
        assert!(empty.to_svg().unwrap().contains("no data"));
        empty.to_png().unwrap();
    }
}

#[test]
fn every_point_that_has_an_interval_shows_it() {
    let banded = |points: Vec<(f64, f64)>| {
        let band = points.iter().map(|&(x, y)| (x, y - 1.0, y + 1.0)).collect();
        lines(
            Quantity::Percent,
            vec![Series { name: "a".into(), points, band, ..Series::default() }],
        )
        .to_svg()
        .unwrap()
    };
    assert_eq!(
        banded(vec![(0.0, 50.0), (10.0, 40.0), (20.0, 30.0)]).matches("opacity=\"0.18\"").count(),
        1
    );
    // A band of one point has no area: it is a bar.
    let single = banded(vec![(50.0, 50.0)]);
    assert!(polylines(&single).iter().filter(|points| **points == 2).count() >= 3, "{single}");
}

fn rows() -> Vec<ResultRow> {
    let row = ResultRow {
        model: "small".into(),
        bits: "(2,2)".into(),
        accuracy: 0.9892,
        loss: 0.03456,
        paper_accuracy: Some(0.9019),
        floating_point_operations: 23_984_896,
        weighted_operations: Some(3_108_704),
        weight_bytes: 4_729_768,
        seconds: 125.0,
        alpha: vec![("act1".into(), 1.234), ("act2".into(), 2.0)],
    };
    vec![
        row,
        ResultRow {
            model: "plain".into(),
            bits: "float".into(),
            accuracy: 1.0,
            ..ResultRow::default()
        },
    ]
}

#[test]
fn the_result_table_has_the_numbers_in_every_form() {
    let table = result_table(&rows());
    let expected = [
        "98.92 %",
        "90.19 %",
        "+8.73",
        "0.0346",
        "23,984,896",
        "3,108,704",
        "4.73 MB",
        "2 min 05 s",
        "act1 1.23, act2 2.00",
        "100.00 %",
    ];
    for text in [table.to_text(None), table.to_markdown(), table.to_html().into_string()] {
        for number in expected {
            assert!(text.contains(number), "{number} in {text}");
        }
        assert!(!text.contains('\u{1b}'), "no colour unless asked: {text}");
    }
    assert_eq!(table.rows[1][table.headers.iter().position(|h| h == "paper").unwrap()], "–");
    let without_paper = result_table(&rows()[1..]);
    assert!(
        !without_paper.headers.iter().any(|h| h == "paper" || h == "α"),
        "{:?}",
        without_paper.headers
    );
    assert!(!result_table(&[]).headers.is_empty());
}

#[test]
fn tables_escape_hostile_cells_and_mend_ragged_rows() {
    let table = Table::new(
        ["name | a", "n"],
        [vec![HOSTILE, "1"], vec!["a|b\nc"], vec!["x", "2", "dropped"]],
    );
    let text = table.to_text(None);
    assert!(!text.contains('\u{1b}') && !text.contains("dropped"), "{text}");
    let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
    assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    let markdown = table.to_markdown();
    assert_eq!(markdown.lines().count(), 5, "{markdown}");
    assert!(
        markdown.contains("| a\\|b c |")
            && markdown.contains("&lt;script>")
            && markdown.contains("| --- | ---: |"),
        "{markdown}"
    );
    let html = table.to_html().into_string();
    assert!(!html.contains("<script") && html.matches("<td").count() == 6, "{html}");
    let turned = result_table(&rows()).to_text(Some(80));
    assert!(
        turned.lines().count() >= 11 && turned.lines().all(|line| line.chars().count() <= 80),
        "{turned}"
    );
    assert!(
        turned.lines().any(|line| line.contains("accuracy")
            && line.contains("98.92 %")
            && line.contains("100.00 %")),
        "{turned}"
    );
    assert!(table.to_text(Some(20)).lines().all(|line| line.chars().count() <= 20));
    assert_eq!(Table::default().to_markdown(), "");
    Table::default().to_text(Some(0));
}

fn report(name: &str) -> Report {
    let text = || name.to_owned();
    let blocks = vec![
        Block::Paragraph(text()),
        Block::Table(Table::new([name], [[name]])),
        Block::Image { png: b"not a PNG".to_vec(), alt: text(), caption: text() },
        Block::Svg {
            svg: LineChart { title: text(), ..LineChart::default() }.to_svg().unwrap(),
            caption: text(),
        },
        Block::Code(text()),
        Block::Facts(vec![(text(), text())]),
        Block::Terms(vec![(text(), text())]),
    ];
    Report {
        title: text(),
        intro: vec![text()],
        sections: vec![Section { title: text(), blocks }; 3],
    }
}

#[test]
fn reports_escape_everything_and_need_nothing_else() {
    let html = report(HOSTILE).to_html();
    assert!(!html.contains("<script") && !html.contains("alt=\"<"), "{html}");
    assert!(html.contains("&lt;script&gt;"));
    // The only address is the SVG name space, which is never loaded.
    let elsewhere = html.replace("http://www.w3.org/2000/svg", "");
    assert!(
        !elsewhere.contains("http:")
            && !elsewhere.contains("https:")
            && !elsewhere.contains("url("),
        "{elsewhere}"
    );
    for part in [
        "prefers-color-scheme: dark",
        "@media print",
        "name=\"viewport\"",
        "data:image/png;base64,bm90IGEgUE5H\"",
        "href=\"#section-3\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn pages_can_be_read_on_a_narrow_screen() {
    let html = report("x").to_html();
    // Tables and charts scroll inside a box of their own, and rows keep their names.
    for rule in [
        ".table { overflow-x: auto;",
        "td:first-child { position: sticky;",
        "overflow-x: auto; }\n.chart > svg { display: block; width: 100%; min-width:",
    ] {
        assert!(html.contains(rule), "{rule}");
    }
    assert!(
        html.contains("<div class=\"table\"><table>") && html.contains("<div class=\"chart\"><svg")
    );
    assert!(html.contains("<dl class=\"terms\"><div><dt>x</dt><dd>x</dd></div></dl>"));
}

#[test]
fn every_column_of_the_result_table_is_explained() {
    let explained: Vec<String> = result_terms().into_iter().map(|(term, _)| term).collect();
    for header in result_table(&rows()).headers {
        let is_plain = ["model", "bits", "paper", "training"].contains(&header.as_str());
        assert!(is_plain || explained.contains(&header), "{header}");
    }
}

#[test]
fn a_written_report_is_the_same_every_time_and_replaces_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    report("first, and quite a bit longer").write(&path).unwrap();
    report("second").write(&path).unwrap();
    let html = std::fs::read_to_string(&path).unwrap();
    assert_eq!(html, report("second").to_html());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(Report::default().to_html().starts_with("<!DOCTYPE html>"));
    let below_a_file = Path::join(&path, "report.html");
    assert!(report("x").write(&below_a_file).unwrap_err().to_string().contains("report.html"));
}
