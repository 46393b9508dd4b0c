//! A node ends when it meets something that its program does not know: it neither guesses nor skips it.

use crate::kv::support::{Store, bytes};
use kontiki::machine::{ClusterVersion, Command, CommandResult, MachineError, Raise};

#[test]
fn a_command_of_an_unknown_kind_is_an_error_and_no_refusal() {
    for (forged, says) in
        [(&b"\x63\x01k"[..], "kind 99"), (b"", "no kind"), (b"\x01\x80\x01k\x01v", "kind 1")]
    {
        let mut store = Store::new();
        let error = store.machine.apply(store.next_id(), &bytes(forged)).unwrap_err();
        assert!(matches!(error, MachineError::Unknown { .. }));
        let message = error.to_string();
        for part in ["entry 1@1", says, "cluster versions up to 1", "start it with that program"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn a_cluster_is_raised_to_what_every_member_is_known_to_support() {
    let raised = |members: &[u32]| {
        // 0: unknown, as the member has not been heard from yet.
        let heard = |version: &u32| (*version > 0).then_some(ClusterVersion(*version));
        ClusterVersion(2).raisable(members.iter().map(heard)).map(ClusterVersion::get)
    };
    assert_eq!(raised(&[4, 3, 5]), Some(3));
    assert_eq!(raised(&[2, 3, 3]), None, "one does not know more");
    assert_eq!(raised(&[3, 0, 3]), None, "one was not heard yet");
}

#[test]
fn a_cluster_version_is_raised_by_an_entry_and_only_to_one_that_is_known() {
    let mut store = Store::new();
    let raise = |version| Command::Raise(Raise { version });
    assert_eq!(store.apply(&raise(ClusterVersion::SUPPORTED)).result, CommandResult::Raised);
    assert_eq!(store.machine.version(), ClusterVersion::SUPPORTED);
    let beyond = raise(ClusterVersion(ClusterVersion::SUPPORTED.get() + 1));
    let error = store.machine.apply(store.next_id(), &beyond.encode()).unwrap_err();
    assert!(error.to_string().contains("cluster version 2"), "{error}");
}
