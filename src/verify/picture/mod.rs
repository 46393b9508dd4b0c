//! A violation as a drawing: a lane per process, a bar from call to return.
//!
//! ```text
//! layout  where everything is placed
//! svg     how it looks
//! ```

mod layout;
mod svg;

use crate::verify::violation::Violation;

/// As a self-contained SVG.
pub fn svg(violation: &Violation) -> String {
    svg::draw(violation)
}

/// As a web page around the SVG, with the operations in words beneath.
pub fn html(violation: &Violation) -> String {
    svg::page(violation)
}
