//! The sources have no planted bugs: `assemble` puts others in the place of this file.

/// Would plant a bug in everything that this thread runs from now on.
pub fn choose(_name: Option<&str>) {
    panic!("no bugs are planted here: run `make calibrate`");
}
