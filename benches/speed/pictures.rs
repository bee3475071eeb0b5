//! Pictures of the samples: SVG with text as text, readable on light and on dark pages.

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::sheet;
use crate::summary::{Key, Summary, nanoseconds};
use crate::tails::QUANTILES;

/// Contenders, with their colours on light and on dark pages.
const LINES: [(&str, u32, u32); 10] = [
    ("F", 0x6e7781, 0x9198a1),
    ("dwell", 0xcf222e, 0xff7b72),
    ("dashmap", 0x0969da, 0x79c0ff),
    ("papaya-tick", 0x8250df, 0xd2a8ff),
    ("papaya", 0x8250de, 0xd2a8fe),
    ("scc-index-tick", 0x1a7f37, 0x7ee787),
    ("scc-index", 0x1a7f38, 0x7ee788),
    ("moka", 0x9a6700, 0xe3b341),
    ("seed", 0x57606a, 0xc9d1d9),
    ("seed-64", 0xbf3989, 0xff9bce),
];
const INK: (u32, u32) = (0x24292f, 0xe6edf3);
const GRID: (u32, u32) = (0xd0d7de, 0x3d444d);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub fn draw(file: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let summary = Summary::new(sheet::read(file)?);
    fs::create_dir_all(folder)?;
    throughput(&summary, &folder.join("throughput.svg"))?;
    latency(&summary, &folder.join("latency.svg"))?;
    memory(&summary, &folder.join("memory.svg"))?;
    Ok(())
}

/// A chart's line: places on the axis and heights.
struct Line {
    contender: &'static str,
    points: Vec<(f64, f64)>,
}

struct Chart<'a> {
    title: &'a str,
    /// Names of the places 0, 1, 2 and so on.
    places: Vec<String>,
    height: &'a str,
    lines: Vec<Line>,
    label: fn(f64) -> String,
}

fn throughput(summary: &Summary, path: &Path) -> Result<(), Box<dyn Error>> {
    let sizes = summary.sizes("throughput");
    let large = sizes.last().copied().unwrap_or(0);
    let middle = sizes.get(sizes.len() / 2).copied().unwrap_or(0);
    let panels = [
        ("Look-ups with touch", "uniform", large),
        ("90 % look-ups, 10 % changes", "mixed", middle),
        ("One hot session", "hot", middle),
    ];
    let charts = panels.map(|(title, cell, sessions)| {
        let threads = summary.threads("throughput", cell, sessions);
        let cores = crate::calm::cores();
        let names = [
            "F",
            "dwell",
            "dashmap",
            "papaya-tick",
            "scc-index-tick",
            "moka",
            "seed",
            "seed-64",
        ];
        let lines = lines(&names, threads.len(), |contender, place| {
            let nanos =
                summary.median(&Key::throughput(cell, sessions, threads[place]), contender)?;
            Some(threads[place].min(cores) as f64 * 1e3 / nanos)
        });
        Chart {
            title: Box::leak(format!("{title}, {sessions} sessions").into_boxed_str()),
            places: threads.iter().map(u64::to_string).collect(),
            height: "million operations a second, by threads",
            lines,
            label: |millions| format!("{}", (millions * 1e3).round() / 1e3),
        }
    });
    paint(path, &charts)
}

fn latency(summary: &Summary, path: &Path) -> Result<(), Box<dyn Error>> {
    let sessions = summary.sizes("tails").last().copied().unwrap_or(0);
    let charts = ["rest", "collecting"].map(|situation| {
        let cell = format!("{situation} open");
        let names = [
            "dwell",
            "dashmap",
            "papaya",
            "scc-index",
            "moka",
            "seed",
            "seed-64",
        ];
        let lines = lines(&names, QUANTILES.len(), |contender, place| {
            let quantity = format!("get {}", QUANTILES[place].0);
            summary.median(&Key::tails(&cell, sessions, &quantity), contender)
        });
        Chart {
            title: match situation {
                "rest" => "Look-ups at rest",
                _ => "Look-ups while half of the sessions are collected",
            },
            places: QUANTILES.iter().map(|(name, _)| name.to_string()).collect(),
            height: "latency of look-ups at 100,000 operations a second",
            lines,
            label: |nanos| nanoseconds(nanos).replace(".0 ", " "),
        }
    });
    paint(path, &charts)
}

fn memory(summary: &Summary, path: &Path) -> Result<(), Box<dyn Error>> {
    let sizes = summary.sizes("memory");
    let names = [
        "F",
        "dwell",
        "dashmap",
        "papaya",
        "scc-index",
        "moka",
        "seed",
    ];
    let lines = lines(&names, sizes.len(), |contender, place| {
        let key = Key::new("memory", "memory", sizes[place], 1, "resident a session");
        summary.median(&key, contender)
    });
    let chart = Chart {
        title: "Resident memory a session: 16 bytes of key and 64 of value included",
        places: sizes.iter().map(u64::to_string).collect(),
        height: "sessions",
        lines,
        label: |bytes| format!("{bytes:.0} B"),
    };
    paint(path, &[chart])
}

fn lines(
    names: &[&'static str],
    places: usize,
    height: impl Fn(&str, usize) -> Option<f64>,
) -> Vec<Line> {
    let line = |contender| {
        let points =
            (0..places).filter_map(|place| Some((place as f64, height(contender, place)?)));
        let points = points.filter(|(_, height)| *height > 0.0).collect();
        Line { contender, points }
    };
    let lines = names.iter().copied().map(line);
    lines.filter(|line| !line.points.is_empty()).collect()
}

fn paint(path: &Path, charts: &[Chart<'_>]) -> Result<(), Box<dyn Error>> {
    let size = (
        500 * charts.len().max(1) as u32 + if charts.len() == 1 { 160 } else { 0 },
        380,
    );
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let panels = root.split_evenly((1, charts.len()));
        for (panel, chart) in panels.iter().zip(charts) {
            if !chart.lines.is_empty() {
                paint_chart(panel, chart)?;
            }
        }
        root.present()?;
    }
    fs::write(path, themed(&svg))?;
    Ok(())
}

fn paint_chart(area: &Area<'_>, chart: &Chart<'_>) -> Result<(), Box<dyn Error>> {
    let heights = chart
        .lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.1));
    let least = heights.clone().fold(f64::INFINITY, f64::min);
    let most = heights.fold(0.0, f64::max);
    let ticks = ticks(least, most);
    let (from, to) = (ticks[0].log10(), ticks[ticks.len() - 1].log10());
    let right = chart.places.len() as f64 - 0.8;
    let ink = colour(INK.0);
    let text = ("sans-serif", 13).into_font().color(&ink);
    let mut plot = ChartBuilder::on(area)
        .caption(chart.title, ("sans-serif", 15).into_font().color(&ink))
        .margin(8)
        .margin_right(112)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.2..right, from..to)?;
    let place = |x: &f64| {
        let at = x.round();
        let name = chart
            .places
            .get(at as usize)
            .filter(|_| (at - x).abs() < 1e-6 && at >= 0.0);
        name.cloned().unwrap_or_default()
    };
    plot.configure_mesh()
        .disable_mesh()
        .axis_style(ink)
        .label_style(text.clone())
        .x_labels(chart.places.len() * 2)
        .x_label_formatter(&place)
        .set_tick_mark_size(LabelAreaPosition::Left, 0)
        .y_label_formatter(&|_| String::new())
        .x_desc(chart.height)
        .axis_desc_style(text.clone())
        .draw()?;
    let (left, top) = area.get_base_pixel();
    for tick in ticks {
        let line = [(-0.2, tick.log10()), (right, tick.log10())];
        let (x, y) = plot.backend_coord(&line[0]);
        plot.draw_series([PathElement::new(line, colour(GRID.0))])?;
        let style = text.clone().pos(Pos::new(HPos::Right, VPos::Center));
        let at = (x - left - 8, y - top);
        area.draw(&Text::new((chart.label)(tick), at, style))?;
    }
    for line in &chart.lines {
        let points = line.points.iter().map(|(x, y)| (*x, y.log10()));
        let width = if line.contender == "dwell" { 3 } else { 1 };
        let style = of(line.contender).stroke_width(width);
        plot.draw_series(LineSeries::new(points.clone(), style))?;
        plot.draw_series(points.map(|at| Circle::new(at, width + 1, of(line.contender).filled())))?;
    }
    label(area, &plot, &chart.lines)
}

/// Round numbers from one not above `least` to one not below `most`.
fn ticks(least: f64, most: f64) -> Vec<f64> {
    let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    let steps: &[f64] = if last - first > 3 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let decades = (first..=last).map(|decade| 10f64.powi(decade));
    let numbers = decades.flat_map(|decade| steps.iter().map(move |step| step * decade));
    let numbers: Vec<_> = numbers.collect();
    let from = numbers
        .iter()
        .rposition(|number| *number <= least)
        .unwrap_or(0);
    let to = numbers
        .iter()
        .position(|number| *number >= most && *number > numbers[from]);
    let to = to.unwrap_or(numbers.len() - 1);
    numbers[from..=to].to_vec()
}

/// Names at the ends of the lines, moved apart where they would overlap.
fn label(
    area: &Area<'_>,
    plot: &ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    lines: &[Line],
) -> Result<(), Box<dyn Error>> {
    const APART: i32 = 14;
    let (left, top) = area.get_base_pixel();
    let mut labels: Vec<_> = lines
        .iter()
        .map(|line| {
            let (x, y) = line.points[line.points.len() - 1];
            let (x, y) = plot.backend_coord(&(x, y.log10()));
            (y - top, x - left, line.contender)
        })
        .collect();
    labels.sort_unstable();
    let (_, height) = area.dim_in_pixel();
    // From above, each below its neighbour; then back up what would leave the picture.
    for next in 1..labels.len() {
        labels[next].0 = labels[next].0.max(labels[next - 1].0 + APART);
    }
    let mut floor = height as i32 - 56;
    for (y, _, _) in labels.iter_mut().rev() {
        *y = (*y).min(floor);
        floor = *y - APART;
    }
    let right = labels.iter().map(|(_, x, _)| *x).max().unwrap_or(0);
    for (y, x, contender) in labels {
        let style = ("sans-serif", 13).into_font().color(&of(contender));
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        let x = if right - x > 20 { x } else { right };
        area.draw(&Text::new(contender, (x + 9, y), style))?;
    }
    Ok(())
}

fn colour(rgb: u32) -> RGBColor {
    let [_, red, green, blue] = rgb.to_be_bytes();
    RGBColor(red, green, blue)
}

fn of(contender: &str) -> RGBColor {
    let line = LINES.iter().find(|(name, ..)| *name == contender);
    colour(line.map_or(INK.0, |(_, light, _)| *light))
}

/// Attributes give the colours of light pages; a style sheet overrides them on dark ones.
fn themed(svg: &str) -> String {
    let pairs = LINES.iter().map(|(_, light, dark)| (*light, *dark));
    let rules: String = pairs
        .chain([INK, GRID])
        .map(|(light, dark)| {
            format!("[fill=\"#{light:06X}\"]{{fill:#{dark:06X}}}[stroke=\"#{light:06X}\"]{{stroke:#{dark:06X}}}")
        })
        .collect();
    let style = format!("<style>@media (prefers-color-scheme:dark){{{rules}}}</style>");
    let body = svg
        .find("<svg")
        .and_then(|start| Some(start + svg[start..].find('>')? + 1));
    let (head, rest) = svg.split_at(body.unwrap_or(0));
    format!("{head}\n{style}{rest}")
}
