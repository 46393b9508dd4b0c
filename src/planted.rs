//! Bugs on purpose: do the tests see them?
//!
//! Each is one that real systems had. `planted!(Name)` stands where the bug of that name
//! would be, and is always `false` in every build but one with the feature `planted-bugs`,
//! which refuses to be built without assertions. `make calibrate` chooses one at a
//! time and counts the seeds until the simulator objects.

#[cfg(all(feature = "planted-bugs", not(debug_assertions)))]
compile_error!("planted bugs are for tests only, never for a build without assertions");

/// Whether the bug of this name was chosen.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($name:ident) => {
        $crate::planted::is_chosen($crate::planted::Bug::$name)
    };
}

/// Without the feature there are no bugs (of this kind).
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($name:ident) => {
        $crate::planted::never(stringify!($name))
    };
}

/// A function, since clippy would see through a constant and ask to leave it out.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn never(_: &str) -> bool {
    false
}

pub(crate) use planted;

#[cfg(feature = "planted-bugs")]
pub use choice::{Bug, Watch, choose, is_chosen};

#[cfg(feature = "planted-bugs")]
mod choice {
    use std::cell::Cell;

    thread_local! {
        static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Who should see a bug first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Watch {
        /// A node that checks itself: an assertion, or damage that it notices at its start.
        Node,
        /// What is compared between nodes and with their disks: votes, leaders, commits, promises, hashes.
        Cluster,
        /// What clients were told.
        History,
        /// The deadline for progress once all faults have ended.
        Progress,
    }

    macro_rules! bugs {
        ($($(#[doc = $about:literal])+ $name:ident => $watch:ident,)+) => {
            /// The bugs, each with a sentence on what it does.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Bug {
                $($(#[doc = $about])+ $name,)+
            }

            impl Bug {
                /// All of them.
                pub const ALL: &[Self] = &[$(Self::$name,)+];

                /// What it does.
                pub fn about(self) -> &'static str {
                    match self {
                        $(Self::$name => concat!($($about),+).trim_ascii(),)+
                    }
                }

                /// Who should see it first.
                pub fn watch(self) -> Watch {
                    match self {
                        $(Self::$name => Watch::$watch,)+
                    }
                }
            }
        };
    }

    bugs! {
        // Votes and terms.
        /// A vote leaves before it is on disk.
        VoteBeforeDurable => Cluster,
        /// The term goes to the disk without the vote that was given in it.
        VoteNotPersisted => Cluster,
        /// A restart forgets for whom the node has voted in its term.
        VoteForgottenOnRestart => Cluster,
        /// A node that becomes a follower within its term forgets its vote.
        VoteForgottenOnStepDown => Node,
        /// A candidacy leaves before the candidate's own vote is on disk.
        CandidacyBeforeDurable => Cluster,
        /// A finished write releases the statements that wait for the next one.
        StatementOneMarkEarly => Cluster,
        /// A voter compares only the lengths of the logs.
        LogCheckByLength => Cluster,
        /// A voter compares only the last terms of the logs.
        LogCheckByTerm => Cluster,
        /// A candidate counts "I would vote for you" as a vote.
        PreVoteCountsAsVote => Cluster,
        /// A candidate counts votes of an earlier term.
        OldVoteCounts => Cluster,
        /// A vote that arrives twice counts for more than one voter.
        RepeatedVoteCounts => Cluster,
        /// Half of the voters are taken for a majority.
        HalfIsEnough => Cluster,
        /// A leader does not step down when it meets a higher term.
        LeaderIgnoresHigherTerm => History,
        /// A leader that hears from nobody leads on.
        NoCheckQuorum => Cluster,
        /// A hand-over to a node that never answers does not end.
        TransferNeverAborted => Progress,

        // Replication and commitment.
        /// A follower cuts its log off at every append, as if all of it were in conflict.
        TruncatesWithoutConflict => Cluster,
        /// A follower compares only the index of the entry before an append.
        PrevByIndexOnly => Cluster,
        /// A follower keeps its own entry where the leader's has another term.
        ConflictByIndexOnly => Cluster,
        /// A follower takes the leader's commit index also for entries that were not compared.
        CommitsUnverified => Cluster,
        /// A heartbeat's commit index goes beyond what its receiver is known to hold.
        HeartbeatCommitUncapped => Cluster,
        /// A follower takes all of its own log for equal to a new leader's.
        VerifiedUnseen => Cluster,
        /// A leader commits entries of an earlier term by counting (figure 8 of the Raft paper).
        CommitsOldTerm => Cluster,
        /// The indexes of the voters are not sorted before the middle one is taken.
        QuorumUnsorted => Cluster,
        /// What a learner holds counts for voters.
        LearnersCount => Cluster,
        /// A leader counts itself for entries that are not on its disk.
        CountsOwnUnwritten => Cluster,
        /// A follower acknowledges entries before they are on its disk.
        AcksBeforeDurable => Cluster,
        /// A follower acknowledges an append that it has seen before at once, durable or not.
        AcksRepeatBeforeDurable => Cluster,
        /// A leader counts an acknowledgement of an earlier term.
        OldAckCounts => Cluster,
        /// The end of an overwritten write speaks for the entries that took its place (ABA).
        LateMarkCounts => Node,
        /// What is cut off still counts as durable.
        DurableNotLowered => Node,
        /// Entries that replace others are not given to the disk.
        OverwritingNotWritten => Node,
        /// After a rejection the leader asks for the same place again.
        RejectionStepsNotBack => Progress,
        /// An append that was lost in a pipeline is never sent again.
        LostAppendNotRepeated => Progress,
        /// A probe that was lost is never sent again.
        LostProbeNotRepeated => Progress,

        // What is handed out to be applied.
        /// An entry is applied before it is durable.
        AppliesBeforeDurable => Node,
        /// An entry is left out when many are handed out at once.
        CommittedSkipped => Node,
        /// The last of several entries is handed out again.
        CommittedTwice => Node,
        /// A restarted node takes all of its log for committed.
        RestartCommitsAll => Cluster,

        // Snapshots.
        /// A snapshot that is behind what is committed is installed.
        StaleSnapshotInstalled => Node,
        /// A snapshot drops entries behind it that were acknowledged.
        SnapshotDropsAcknowledged => Cluster,
        /// Entries are taken while the log is being replaced.
        AppendsDuringInstall => Node,
        /// The log on disk stays as it was when a snapshot is installed.
        LogResetForgotten => Node,
        /// A crash behind the installing of a snapshot leaves the old log on disk for good.
        OvertakenLogStays => Node,
        /// A snapshot that did not arrive is not sent again.
        FailedSnapshotNotRepeated => Progress,
        /// A received state is used, but not put in the place of the old one on disk.
        InstallNotKept => Node,
        /// A snapshot says that it includes one entry more than it does.
        SnapshotLabelledLater => Cluster,
        /// A snapshot lacks the revision of the last compaction.
        SnapshotForgetsCompaction => Cluster,
        /// A snapshot lacks the members.
        SnapshotForgetsMembers => Progress,

        // Reads.
        /// A new leader answers reads before it has committed an entry of its own.
        ReadWithoutOwnCommit => History,
        /// A read joins the round of heartbeats that is under way.
        ReadJoinsRound => History,
        /// The answer to an older round confirms a read.
        OlderRoundConfirms => History,
        /// A leader counts whatever round was answered, that of an earlier term too.
        OldRoundCounts => History,
        /// A leader answers reads without asking anybody.
        ReadUnconfirmed => History,
        /// A read is answered although leadership was lost while it waited.
        LostReadAnswered => History,

        /// A read is served before the state has come as far as it must.
        ReadBeforeApplied => History,

        // Answers.
        /// Whoever waits for an entry is told that it was applied when another took its place.
        AnswersOverwritten => History,
        /// Who waits for an entry that a snapshot jumps over is told that it was overwritten.
        JumpForgotten => History,

        // The state machine.
        /// The applied index reaches the disk before the data that it speaks of.
        AppliedBeforeData => Cluster,
        /// The data reaches the disk before the applied index.
        DataBeforeApplied => Node,
        /// A key's version is the number of versions that this node still keeps.
        VersionFromHistory => Cluster,
        /// A compaction drops the version that is still in force.
        CompactionDropsLive => History,
        /// A state that lacks records is taken for whole.
        InventoryNotChecked => Cluster,
        /// Garbage is removed one by one, from the newest to the oldest.
        GarbageNewestFirst => Cluster,

        // Disks.
        /// A write to the log counts as durable before it is.
        WriteNotSynced => Cluster,
        /// Entries reach the disk before the term in which they were accepted.
        HardStateAfterEntries => Node,
        /// A truncation of the log begins with its oldest run.
        TruncatesBottomUp => Node,
        /// A compaction of the log removes entries before it says where the log begins.
        CompactsRunsFirst => Cluster,
        /// A log that has lost its durable end is taken for whole.
        WitnessIgnored => Cluster,
        /// The log forgets entries that only the state in memory includes.
        CompactsUndurable => Cluster,
        /// The state counts as durable without being synced.
        StateNotSynced => Cluster,
    }

    /// Plants a bug in everything that this thread runs from now on.
    pub fn choose(bug: Option<Bug>) {
        CHOSEN.set(bug);
    }

    /// Whether this bug is planted on this thread.
    pub fn is_chosen(bug: Bug) -> bool {
        CHOSEN.get() == Some(bug)
    }
}
