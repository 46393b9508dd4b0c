//! Attacks on real clusters: what no request, connection or client may do to a node or to another client.
//!
//! ```text
//! make attack [CASE=part-of-a-name]     # all of them, or some
//! make attack-sample                    # the quick ones
//! ```
//!
//! Each case has a cluster of three processes, an innocent client at each node that puts at a steady rate, and
//! limits: of what those clients may feel, of what a node may take of the machine, of elections, and of the time
//! until all is normal again. `docs/attacks.md` lists the cases; a test keeps it equal to them.
//!
//! ```text
//! case      what a case says
//! arena     the cluster of one
//! innocent  the clients that it must not hurt
//! trial     one run
//! figures   what it cost, and whether that is too much
//! table     the list in docs/attacks.md
//! raw       clients that speak HTTP/2 frame by frame
//! ```
//!
//! The other files are the cases, a family in each.

mod arena;
mod case;
mod figures;
mod innocent;
mod raw;
mod silent;
mod table;
mod tally;
mod trial;

use case::Case;
use figures::{Figures, heading};
use std::time::Instant;
use trial::Verdict;

/// All cases, in the order in which they run and are listed.
fn cases() -> Vec<&'static Case> {
    [silent::CASES].into_iter().flatten().collect()
}

#[test]
#[ignore = "takes long: for `make attack`"]
fn every_attack_is_survived() {
    let part = std::env::var("KONTIKI_ATTACK").unwrap_or_default();
    let mut chosen = cases();
    chosen.retain(|case| case.name.contains(&part));
    assert!(!chosen.is_empty(), "no case is called {part:?}");
    run(&chosen);
}

#[test]
#[ignore = "for `make attack-sample`"]
fn a_sample_is_survived() {
    let mut quick = cases();
    quick.retain(|case| case.quick);
    run(&quick);
}

fn run(cases: &[&Case]) {
    let began = Instant::now();
    println!("{}", heading());
    let mut fallen = Vec::new();
    for case in cases {
        let (figures, wrong) = match trial::run(case) {
            Verdict::Held(figures) => (figures, None),
            Verdict::Fell(figures, wrong) => (figures.unwrap_or_default(), Some(wrong)),
        };
        println!("{}", figures.row(case, verdict(case, wrong.is_some())));
        if let Some(wrong) = wrong {
            println!("    {}", wrong.replace('\n', "\n    "));
            if case.fails.is_none() {
                fallen.push(format!("{}: {wrong}", case.name));
            }
        }
    }
    println!("{} attacks in {:.0?}", cases.len(), began.elapsed());
    assert!(fallen.is_empty(), "{} attacks were not survived:\n{}", fallen.len(), fallen.join("\n"));
}

fn verdict(case: &Case, fell: bool) -> &'static str {
    match (fell, case.fails) {
        (false, None) => "held",
        // Then the mark of the case can go, if that was no luck.
        (false, Some(_)) => "held(!)",
        (true, None) => "FELL",
        (true, Some(_)) => "known",
    }
}

/// The figures of a case that never came so far as to have some.
#[test]
fn a_case_without_figures_has_a_row_too() {
    let case = &Case { name: "x", ..Case::USUAL };
    assert!(Figures::default().row(case, verdict(case, true)).contains("FELL"));
}
