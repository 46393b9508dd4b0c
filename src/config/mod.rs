//! From flags, environment and a file to a checked configuration.
//!
//! Every setting has one name in three spellings: `listen-client` is the key in the TOML file,
//! `--listen-client` the flag and `KONTIKI_LISTEN_CLIENT` the environment variable. A flag wins over the
//! environment, the environment over the file, the file over the default; an empty variable counts as not
//! set.
//!
//! ```text
//! table         what settings there are, with their defaults and help
//! origin        a value as it was given, and where it was given
//! error         what is wrong with it
//! serve_config  the checked configuration, and the ids and the fingerprint that follow from it
//! arguments     the flags of `serve`, made from the table
//! file          the TOML file, with the line of each key
//! sources       the merge: each value with its origin
//! parse         text -> numbers, addresses, durations
//! rules         the rules between values
//! check         all of it: settings -> configuration, or everything that is wrong
//! ```
//!
//! The configuration is checked, not repaired: a value that breaks a rule is refused with its origin, and all
//! such problems are reported at once.
//!
//! Three presets set how fast a cluster reacts ([`Timing`](crate::settings::Timing)); each number can also be
//! set on its own:
//!
//! | preset | heartbeat | election timeout | for |
//! |---|---|---|---|
//! | `lan` (default) | 50 ms | 300–600 ms | one data center |
//! | `fast` | 20 ms | 100–200 ms | one rack with idle machines and fast disks |
//! | `wan` | 250 ms | 1.5–3 s | between regions, round trips up to about 200 ms |

mod arguments;
mod check;
mod error;
mod file;
mod origin;
mod parse;
mod rules;
mod serve_config;
mod sources;
mod table;

pub use arguments::ServeArgs;
pub use error::{ConfigError, Problem};
pub use origin::{Given, Origin};
pub use serve_config::{LogConfig, LogFormat, ServeConfig};
pub use sources::Settings;
