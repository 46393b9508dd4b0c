//! The merge of all sources: each setting's value, and which source it came from.

use crate::config::arguments::ServeArgs;
use crate::config::error::{ConfigError, Problem};
use crate::config::file;
use crate::config::origin::{Given, Origin};
use crate::config::table::{CONFIG_VARIABLE, SETTINGS};
use crate::settings::Timing;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Every setting's value with its origin, not yet checked.
#[derive(Clone, Debug)]
pub struct Settings {
    values: BTreeMap<&'static str, Given>,
}

impl Settings {
    /// All settings in the order of the help.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Given)> {
        SETTINGS.iter().filter_map(|setting| Some((setting.key, self.values.get(setting.key)?)))
    }

    /// The value of a setting. Every setting of the table has one.
    pub(super) fn get(&self, key: &str) -> &Given {
        self.values.get(key).expect("the key is in the table, and the merge gives each a value")
    }

    fn derive(&mut self, key: &'static str, text: String, from: impl Into<String>) {
        self.values.entry(key).or_insert(Given { text, origin: Origin::Derived(from.into()) });
    }

    fn text(&self, key: &str) -> Option<String> {
        self.values.get(key).map(|given| given.text.clone())
    }
}

impl ServeArgs {
    /// Merges the flags with `environment` and the file. The lookup is an
    /// argument so that tests need not touch the process.
    pub fn resolve(&self, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Settings, ConfigError> {
        resolve(self, environment)
    }

    /// Which of the variables `names` look like settings but are not, such as misspelled ones: worth a warning,
    /// but not an error, since they may have been set for other purposes.
    pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
        unknown_variables(names)
    }
}

fn resolve(
    args: &ServeArgs,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Settings, ConfigError> {
    let environment = |name: &str| environment(name).filter(|value| !value.is_empty());
    let path = args.config.clone().or_else(|| environment(CONFIG_VARIABLE).map(PathBuf::from));
    let mut file = match path {
        Some(path) => file::read(&path)?,
        None => BTreeMap::new(),
    };
    let mut values = BTreeMap::new();
    let mut problems = Vec::new();
    for setting in SETTINGS {
        let variable = setting.variable();
        let given = if let Some(text) = args.flags.get(setting.key) {
            Some(Given { text: text.clone(), origin: Origin::Flag(setting.key.to_owned()) })
        } else if let Some(value) = environment(&variable) {
            let origin = Origin::Environment(variable);
            match value.into_string() {
                Ok(text) => Some(Given { text, origin }),
                Err(_) => {
                    let message = "is not valid UTF-8".to_owned();
                    problems.push(Problem { key: setting.key.to_owned(), message, origin: Some(origin) });
                    None
                }
            }
        } else if let Some(given) = file.remove(setting.key) {
            Some(given)
        } else if setting.default.is_empty() {
            None
        } else {
            Some(Given { text: setting.default.to_owned(), origin: Origin::Default })
        };
        if let Some(given) = given {
            values.insert(setting.key, given);
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError::Invalid(problems));
    }
    let mut settings = Settings { values };
    derive(&mut settings);
    Ok(settings)
}

/// Variables of this program that are not settings of `serve`.
const OTHER_VARIABLES: [&str; 6] = [
    CONFIG_VARIABLE,
    "KONTIKI_ENDPOINTS",
    "KONTIKI_TIMEOUT",
    "KONTIKI_OUTPUT",
    "KONTIKI_LOG",
    "KONTIKI_EXIT_WITH_PARENT",
];

fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let known = |name: &str| {
        OTHER_VARIABLES.contains(&name) || SETTINGS.iter().any(|setting| setting.variable() == name)
    };
    let mut unknown: Vec<String> =
        names.filter(|name| name.starts_with("KONTIKI_") && !known(name) && !is_service_link(name)).collect();
    unknown.sort_unstable();
    unknown
}

/// Kubernetes sets such variables in every pod of a namespace that has a
/// service `kontiki` or `kontiki-…`: `KONTIKI_SERVICE_HOST`, `KONTIKI_PORT_2379_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_PORT_")
        || name.ends_with("_PORT")
}

/// Fills in what derives from other settings.
fn derive(settings: &mut Settings) {
    let name = settings.text("name").unwrap_or_default();
    settings.derive("data-dir", format!("kontiki-data/{name}"), "name");

    let listen_client = settings.text("listen-client").unwrap_or_default();
    settings.derive("advertise-client", format!("http://{listen_client}"), "listen-client");

    let listed = settings.text("initial-cluster").and_then(|list| {
        let member = list.split(',').find_map(|member| member.trim().strip_prefix(&format!("{name}=")));
        member.map(str::to_owned)
    });
    if let Some(url) = listed {
        settings.derive("advertise-peer", url, "initial-cluster");
    }
    let listen_peer = settings.text("listen-peer").unwrap_or_default();
    settings.derive("advertise-peer", format!("http://{listen_peer}"), "listen-peer");
    let advertise_peer = settings.text("advertise-peer").unwrap_or_default();
    settings.derive("initial-cluster", format!("{name}={advertise_peer}"), "name and advertise-peer");

    let preset = settings.text("timing").unwrap_or_default();
    // An unknown preset is reported by the check; until then the default stands in.
    let timing = Timing::preset(&preset).unwrap_or_default();
    for (key, duration) in [
        ("tick-ms", timing.tick),
        ("heartbeat-ms", timing.heartbeat),
        ("election-min-ms", timing.election_min),
        ("election-max-ms", timing.election_max),
    ] {
        settings.derive(key, duration.as_millis().to_string(), format!("timing {preset}"));
    }
}
