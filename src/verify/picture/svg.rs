//! How it looks.

use crate::verify::history::{Call, Completion, Operation};
use crate::verify::picture::layout::{Bar, Layout, Part, ROW, layout};
use crate::verify::violation::{Kind, Violation, moment};
use std::fmt::Write;

const STYLE: &str = "\
.paper{fill:#fff}.lane{fill:#f6f8fa}.lane.odd{fill:#eef1f5}.name{font-weight:600;fill:#24292f}\
.title{font-size:20px;font-weight:700;fill:#24292f}.why{font-size:14px;fill:#57606a}\
.tick{stroke:#d0d7de;stroke-dasharray:2 4}.time{font-size:11px;fill:#6e7781}\
.bar{stroke-width:1.5}.label{font-size:13px;font-weight:600}\
.read .bar{fill:#ddf4ff;stroke:#54aeff}.read .label{fill:#0550ae}\
.write .bar{fill:#dafbe1;stroke:#4ac26b}.write .label{fill:#116329}\
.cas .bar{fill:#fbefff;stroke:#c297ff}.cas .label{fill:#6639ba}\
.failed .bar{fill:#f6f8fa;stroke:#8c959f;stroke-dasharray:5 4}.failed .label{fill:#57606a;text-decoration:line-through}\
.read .open{fill:url(#read);stroke:none}.write .open{fill:url(#write);stroke:none}.cas .open{fill:url(#cas);stroke:none}\
.context{opacity:.65}.culprit .bar{fill:#ffebe9;stroke:#cf222e;stroke-width:3}.culprit .label{fill:#a40e26}\
.badge{fill:#cf222e}.cross{stroke:#fff;stroke-width:2.2;stroke-linecap:round}";

const TOP: f64 = 40.0;
const MARGIN: f64 = 24.0;
/// Any narrower and the sentence would need too many lines.
const LEAST: f64 = 860.0;
const LINE: f64 = 20.0;
const BAR: f64 = 30.0;

pub(super) fn draw(violation: &Violation) -> String {
    let layout = layout(violation);
    let legend: f64 = legend(&layout).iter().map(|(.., words)| entry_width(words)).sum();
    let width = (layout.right + MARGIN).max(legend + 2.0 * MARGIN).max(LEAST);
    let lines = wrap(&sentence(violation), (width / 7.6) as usize);
    let head = TOP + LINE * lines.len() as f64 + 26.0;
    let foot = head + layout.rows as f64 * ROW;
    let height = foot + 62.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"system-ui,'Segoe UI','DejaVu Sans',sans-serif\" font-size=\"13\">\n\
         <style>{STYLE}</style>\n<defs>"
    );
    for (name, color) in [("read", "#54aeff"), ("write", "#4ac26b"), ("cas", "#c297ff")] {
        let _ = write!(
            out,
            "<linearGradient id=\"{name}\"><stop offset=\"0\" stop-color=\"{color}\" stop-opacity=\".55\"/>\
             <stop offset=\"1\" stop-color=\"{color}\" stop-opacity=\"0\"/></linearGradient>"
        );
    }
    let _ = writeln!(out, "</defs>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>");
    let _ = writeln!(out, "<text class=\"title\" x=\"24\" y=\"{TOP}\">{}</text>", escape(&title(violation)));
    for (number, line) in lines.iter().enumerate() {
        let y = TOP + LINE * (number + 1) as f64 + 4.0;
        let _ = writeln!(out, "<text class=\"why\" x=\"24\" y=\"{y}\">{}</text>", escape(line));
    }
    lanes(&mut out, &layout, head, width);
    ticks(&mut out, &layout, head, foot);
    for bar in &layout.bars {
        draw_bar(&mut out, bar, head);
    }
    draw_legend(&mut out, &layout, foot + 48.0);
    out.push_str("</svg>\n");
    out
}

fn title(violation: &Violation) -> String {
    match violation.kind {
        Kind::Order => format!("Key {:?} is not linearizable", violation.key),
        Kind::Revisions => "The revisions contradict what was done".to_owned(),
    }
}

/// The sentence, without what the title says already.
fn sentence(violation: &Violation) -> String {
    let text = violation.to_string();
    let (_, rest) = text.split_at(text.find("process ").unwrap_or_default());
    let mut letters = rest.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn wrap(text: &str, letters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + word.chars().count() >= letters {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

fn lanes(out: &mut String, layout: &Layout<'_>, head: f64, width: f64) {
    for (number, lane) in layout.lanes.iter().enumerate() {
        let (y, height) = (head + lane.first_row as f64 * ROW, lane.rows as f64 * ROW);
        let odd = if number % 2 == 1 { " odd" } else { "" };
        let (process, middle) = (lane.process, y + height / 2.0 + 5.0);
        let _ = writeln!(
            out,
            "<rect class=\"lane{odd}\" x=\"12\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"6\"/>\
             <text class=\"name\" x=\"24\" y=\"{middle:.1}\">process {process}</text>",
            width - 24.0
        );
    }
}

/// A line for each event, and its time since the first where there is room.
fn ticks(out: &mut String, layout: &Layout<'_>, head: f64, foot: f64) {
    let Some((start, _)) = layout.ticks.first().copied() else { return };
    let mut free = f64::MIN;
    for (time, x) in &layout.ticks {
        let _ = writeln!(
            out,
            "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{foot:.1}\"/>",
            head - 4.0
        );
        let words = if *time == start { moment(start) } else { format!("+{}", moment(time - start)) };
        let half = words.chars().count() as f64 * 3.2 + 4.0;
        if x - half >= free {
            let _ = writeln!(
                out,
                "<text class=\"time\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{words}</text>",
                foot + 16.0
            );
            free = x + half;
        }
    }
}

fn draw_bar(out: &mut String, bar: &Bar<'_>, head: f64) {
    let y = head + bar.row as f64 * ROW + (ROW - BAR) / 2.0;
    let open = if bar.operation.outcome == Completion::Unknown { " open" } else { "" };
    let (x, width) = (bar.from, (bar.until - bar.from).max(4.0));
    let (label_x, label_y) = (x + 11.0, y + BAR / 2.0 + 4.5);
    let _ = writeln!(
        out,
        "<g class=\"{}\"><title>{}</title><rect class=\"bar{open}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{BAR}\" rx=\"6\"/><text class=\"label\" x=\"{label_x:.1}\" y=\"{label_y:.1}\">{}</text>{}</g>",
        classes(bar.operation, bar.part),
        escape(&bar.operation.to_string()),
        escape(&bar.label),
        if bar.part == Part::Culprit { badge(bar.until, y) } else { String::new() }
    );
}

fn classes(operation: &Operation, part: Part) -> String {
    let kind = match operation.call {
        Call::Read => "read",
        Call::Write(_) => "write",
        Call::Cas { .. } => "cas",
    };
    let failed = if operation.outcome == Completion::Failed { " failed" } else { "" };
    let part = match part {
        Part::Culprit => " culprit",
        Part::Core => "",
        Part::Context => " context",
    };
    format!("{kind}{failed}{part}")
}

/// A white cross on red, at the upper right corner.
fn badge(x: f64, y: f64) -> String {
    let arm = 3.6;
    format!(
        "<circle class=\"badge\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\"/><path class=\"cross\" d=\"M{:.1} {:.1}L{:.1} \
         {:.1}M{:.1} {:.1}L{:.1} {:.1}\"/>",
        x - arm,
        y - arm,
        x + arm,
        y + arm,
        x + arm,
        y - arm,
        x - arm,
        y + arm
    )
}

/// What the colors mean: class, shape and label of those that occur.
fn legend(layout: &Layout<'_>) -> Vec<(&'static str, &'static str, &'static str)> {
    let any = |is_it: &dyn Fn(&Bar<'_>) -> bool| layout.bars.iter().any(is_it);
    let plain = |kind: &'static str| {
        move |bar: &Bar<'_>| {
            classes(bar.operation, bar.part) == kind && bar.operation.outcome != Completion::Unknown
        }
    };
    let failed = |bar: &Bar<'_>| bar.operation.outcome == Completion::Failed;
    let unknown = |bar: &Bar<'_>| bar.operation.outcome == Completion::Unknown;
    let context = |bar: &Bar<'_>| bar.part == Part::Context;
    [
        (true, "culprit", "bar", "cannot be explained"),
        (any(&plain("read")), "read", "bar", "read"),
        (any(&plain("write")), "write", "bar", "write"),
        (any(&plain("cas")), "cas", "bar", "compare and swap"),
        (any(&unknown), "write", "bar open", "outcome unknown"),
        (any(&failed), "failed", "bar", "certainly not done"),
        (any(&context), "write context", "bar", "pale: had a value that was seen"),
    ]
    .into_iter()
    .filter(|(there, ..)| *there)
    .map(|(_, class, shape, words)| (class, shape, words))
    .collect()
}

/// The width of an entry of the legend.
fn entry_width(words: &str) -> f64 {
    27.0 + words.len() as f64 * 6.4 + 22.0
}

fn draw_legend(out: &mut String, layout: &Layout<'_>, y: f64) {
    let mut x = MARGIN;
    for (class, shape, words) in legend(layout) {
        let _ = writeln!(
            out,
            "<g class=\"{class}\"><rect class=\"{shape}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"20\" height=\"12\" \
             rx=\"3\"/></g><text class=\"time\" x=\"{:.1}\" y=\"{y:.1}\">{words}</text>",
            y - 10.0,
            x + 27.0
        );
        x += entry_width(words);
    }
}

pub(super) fn page(violation: &Violation) -> String {
    let mut rows = String::new();
    for operation in violation.operations.iter().chain(&violation.context) {
        let _ = writeln!(rows, "<li>{}</li>", escape(&operation.to_string()));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{}</title>\n\
         <style>body{{font:14px system-ui,sans-serif;color:#24292f;margin:24px}}svg{{max-width:100%;height:auto}}</style>\n\
         {}<ol>\n{rows}</ol>\n</html>\n",
        escape(&title(violation)),
        draw(violation)
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // What XML does not allow even when escaped.
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}
