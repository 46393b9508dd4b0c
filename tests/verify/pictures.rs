//! The drawing.

use super::Story;
use kontiki::verify::picture;

/// One of everything.
fn story() -> Story {
    Story::new()
        .failed(4, 1, 500)
        .lost(3, 1, 1_000)
        .read(1, 1, (5_000, 12_000))
        .cas(2, 1, 2, true, (15_000, 29_000))
        .read(3, 2, (20_000, 41_000))
        .read(1, 1, (3_050_000, 3_052_000))
}

#[test]
fn the_drawing_is_whole() {
    let violation = story().is_wrong();
    let drawing = picture::svg(&violation);
    assert!(drawing.starts_with("<svg xmlns=") && drawing.ends_with("</svg>\n"));
    assert_eq!(drawing.matches("<g class=").count(), drawing.matches("</g>").count());
    assert_eq!(drawing.matches("class=\"badge\"").count(), 1, "one culprit");
    for operation in violation.operations.iter().chain(&violation.context) {
        let tooltip = format!("<title>{operation}</title>");
        assert!(drawing.contains(&tooltip), "{tooltip}");
    }
}

/// `UPDATE_GOLDENFILES=1` redraws it; then look at it.
#[test]
fn the_drawing_is_as_it_was() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify/picture.svg");
    let drawing = picture::svg(&story().is_wrong());
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::write(&path, &drawing).unwrap();
    }
    assert_eq!(drawing, std::fs::read_to_string(&path).unwrap());
}

#[test]
fn what_is_in_a_value_does_not_break_the_drawing() {
    use kontiki::verify::{Answer, Call, Value};
    let value = Value::from("</text><script>&\u{1}");
    let answer = Answer::Read(value);
    let violation = Story::new().add(1, Call::Read, 0, super::ok(10, answer)).on("<key>").is_wrong();
    let drawing = picture::html(&violation);
    assert!(!drawing.contains("<script>") && !drawing.contains("<key>") && !drawing.contains('\u{1}'));
    assert!(drawing.starts_with("<!doctype html>") && drawing.contains("<svg xmlns="));
}

/// Many processes, short and long times, without one bar over another.
#[test]
fn no_bar_covers_another() {
    let mut story = Story::new().write(0, 1, (0, 1)).lost(0, 9, 2).write(0, 2, (3, 1_000_000_000));
    for process in 1..6 {
        story = story.read(process, 2, (2_000_000_000, 2_000_000_001));
    }
    let drawing = picture::svg(&story.read(0, 1, (2_000_000_100, 2_000_000_200)).is_wrong());
    let number = |line: &str, name: &str| -> f64 {
        let (_, rest) = line.split_once("class=\"bar\" x=\"").unwrap();
        match name {
            "x" => rest.split('"').next().unwrap().parse().unwrap(),
            name => {
                let (_, rest) = rest.split_once(&format!("{name}=\"")).unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            }
        }
    };
    let bars: Vec<[f64; 3]> = drawing
        .lines()
        .filter(|line| line.contains("<title>") && line.contains("class=\"bar\""))
        .map(|line| [number(line, "x"), number(line, "y"), number(line, "width")])
        .collect();
    assert!(bars.len() >= 3, "{drawing}");
    for (place, [x, y, width]) in bars.iter().enumerate() {
        for [other_x, other_y, other_width] in &bars[place + 1..] {
            let apart = x + width <= *other_x + 0.2 || other_x + other_width <= *x + 0.2;
            assert!(y != other_y || apart, "{drawing}");
        }
    }
}
