//! What two nodes disagree about that do not belong together, in words.

use crate::member::Member;
use crate::proto::raft as pb;
use crate::settings::SharedSettings;
use crate::types::NodeId;

/// The most founders that are compared; no configuration has more. A refusal must fit into a response's trailers.
const FOUNDERS_MAX: usize = 15;
/// The most settings that only the peer has and that are named.
const SETTINGS_MAX: usize = 8;
/// The longest name of a setting, in bytes.
const SETTING_NAME_MAX: usize = 64;

/// How the founders that `peer` lists differ from `founders`, those of `name`'s cluster. `None`: it does not say, or
/// not in a form that could be repeated.
pub fn about_founders(peer: &str, listed: &[String], name: &str, founders: &[String]) -> Option<String> {
    let is_name = |name: &String| {
        !name.is_empty() && !name.contains(char::is_control) && Member::named(NodeId(1), name).check().is_ok()
    };
    if listed.is_empty() || listed.len() > FOUNDERS_MAX || !listed.iter().all(is_name) {
        return None;
    }
    let only = |who: &str, these: &[String], those: &[String]| {
        let names: Vec<String> =
            these.iter().filter(|name| !those.contains(name)).map(|name| format!("{name:?}")).collect();
        (!names.is_empty()).then(|| format!("only {who:?} lists {}", names.join(", ")))
    };
    let differences: Vec<String> =
        [only(peer, listed, founders), only(name, founders, listed)].into_iter().flatten().collect();
    let (differ, setting) = match differences.is_empty() {
        true => ("they name the same members, but not the same token".to_owned(), "--cluster-token"),
        false => (differences.join(", and "), "--initial-cluster"),
    };
    Some(format!(
        "{peer:?} and {name:?} disagree about the founding of the cluster: {differ}. Make {setting} the same on all \
         nodes, and start those again that were wrong"
    ))
}

/// Which of the settings that all members must share differ.
pub fn about_settings(sender: &pb::Sender, name: &str, own: &SharedSettings) -> String {
    let (peer, theirs) = (&sender.name, &sender.shared_settings);
    let value_of =
        |setting: &str| theirs.iter().find(|theirs| theirs.name == setting).map(|theirs| theirs.value);
    let differs = |(setting, value): &(&str, u64)| match value_of(setting) {
        Some(of_peer) if of_peer == *value => None,
        Some(of_peer) => Some(format!("{setting} is {of_peer} at {peer:?} and {value} at {name:?}")),
        None => Some(format!("{setting} is {value} at {name:?} and not known to {peer:?}")),
    };
    let is_new = |theirs: &&pb::SharedSetting| {
        theirs.name.len() <= SETTING_NAME_MAX && own.0.iter().all(|(setting, _)| theirs.name != *setting)
    };
    let new = theirs.iter().filter(is_new).take(SETTINGS_MAX).map(|theirs| {
        format!("{} is {} at {peer:?} and not known to {name:?}", theirs.name.escape_debug(), theirs.value)
    });
    let differences: Vec<String> = own.0.iter().filter_map(differs).chain(new).collect();
    match differences.is_empty() || theirs.is_empty() {
        true => format!(
            "{peer:?} and {name:?} differ in settings that all members must share; {peer:?} does not say in which"
        ),
        false => format!("all members must share these settings: {}", differences.join(", ")),
    }
}

/// As sent to a peer.
pub fn settings_to_wire(settings: &SharedSettings) -> Vec<pb::SharedSetting> {
    let setting = |(name, value): &(&str, u64)| pb::SharedSetting { name: (*name).to_owned(), value: *value };
    settings.0.iter().map(setting).collect()
}
