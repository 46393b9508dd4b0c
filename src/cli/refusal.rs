//! A server's refusal in the words of the command line: the server speaks of the API's fields, and here there are
//! flags, and the grammar of `txn`.

use crate::client::{Action, Reason, ServerError};

/// What the refusal of `action` says, with its reason.
pub(super) fn in_words(action: Action, refusal: &ServerError) -> String {
    let field = refusal.details.get("field").map_or("", String::as_str);
    let unplaced = refusal.message.strip_prefix(field).and_then(|rest| rest.strip_prefix(": "));
    let (Some(reason), Some(said)) = (refusal.known(), unplaced) else {
        return refusal.to_string(); // It names no field, or not in the way that is known here.
    };
    let said = own_words(action, reason).unwrap_or(said);
    match place(field) {
        Some(place) => format!("{reason}: {place}: {said}"),
        None => format!("{reason}: {said}"),
    }
}

/// What to say where the server names what the API has and the command line has not.
fn own_words(action: Action, reason: Reason) -> Option<&'static str> {
    match (reason, action) {
        (Reason::PrefixEmpty, Action::Txn) => Some("an empty prefix would mean every key; say so with all()"),
        (Reason::PrefixEmpty, _) => Some("an empty prefix would mean every key; say so with --all"),
        (Reason::RangeInverted, Action::Scan | Action::Delete) => {
            Some("--to must come after --from (the key of --to itself is not included)")
        }
        _ => None,
    }
}

/// Which part of a transaction `success[0].range.prefix` is in; `None` outside of one.
fn place(field: &str) -> Option<String> {
    let (list, rest) = field.split_once('[')?;
    let (place, rest) = rest.split_once(']')?;
    let number = place.parse::<usize>().ok()?.checked_add(1)?;
    let operation = rest.trim_start_matches('.').split('.').next().unwrap_or_default();
    match list {
        "success" => Some(format!("operation {number} ({operation})")),
        "failure" => Some(format!("operation {number} after `else` ({operation})")),
        "compares" => Some(format!("condition {number}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Outcome, ServerReason};

    fn said(action: Action, reason: Reason, field: &str, message: &str) -> String {
        let refusal = ServerError {
            reason: ServerReason::Known(reason),
            message: format!("{field}: {message}"),
            details: [("field".to_owned(), field.to_owned())].into(),
            code: tonic::Code::InvalidArgument,
            outcome: Outcome::NotApplied,
            retry_after: None,
            leader: None,
        };
        in_words(action, &refusal)
    }

    #[test]
    fn fields_of_the_api_become_flags_and_operations() {
        let inverted = |action, field| said(action, Reason::RangeInverted, field, "the end of a span …");
        assert!(
            inverted(Action::Scan, "span.end").starts_with("RANGE_INVERTED: --to must come after --from")
        );
        assert_eq!(
            inverted(Action::Txn, "success[0].range.span.end"),
            "RANGE_INVERTED: operation 1 (range): the end of a span …"
        );
        let empty = |action, field| said(action, Reason::PrefixEmpty, field, "say so with `all: true`");
        assert!(empty(Action::Delete, "prefix").ends_with("say so with --all"));
        assert!(
            empty(Action::Txn, "failure[1].delete.prefix").contains("operation 2 after `else` (delete): ")
        );
        assert!(empty(Action::Txn, "failure[1].delete.prefix").ends_with("say so with all()"));
        assert_eq!(said(Action::Get, Reason::KeyEmpty, "key", "a key …"), "KEY_EMPTY: a key …");
        assert_eq!(
            said(Action::Txn, Reason::KeyEmpty, "compares[2].key", "a key …"),
            "KEY_EMPTY: condition 3: a key …"
        );
    }
}
