//! The end of a node whose disk or engine broke its promise.

use tokio::sync::watch;

/// Tells the process that it must end. The first reason counts.
#[derive(Clone, Debug)]
pub struct Fatal {
    reason: watch::Sender<Option<String>>,
}

impl Default for Fatal {
    fn default() -> Self {
        Self { reason: watch::Sender::new(None) }
    }
}

impl Fatal {
    /// Ends the node: nothing more may be acknowledged. A failed fsync is
    /// never tried again, since the kernel may have dropped what it could not write.
    pub fn fail(&self, reason: impl Into<String>) {
        let reason = reason.into();
        tracing::error!(%reason, "the node cannot go on");
        self.reason.send_if_modified(|first| {
            let news = first.is_none();
            first.get_or_insert(reason);
            news
        });
    }

    /// Runs a worker to its end. Its failure or panic ends the node: otherwise the other parts would go on
    /// and serve wrong answers.
    pub(crate) fn guard<E: std::fmt::Display>(&self, what: &str, work: impl FnOnce() -> Result<(), E>) {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(format!("{what}: {error}")),
            Err(_) => self.fail(format!("{what}: a bug in Kontiki, please report it with the lines above")),
        }
    }

    /// Why the node must end, if it must.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.borrow().clone()
    }

    /// Waits for the end, and says why.
    pub async fn wait(&self) -> String {
        let mut reason = self.reason.subscribe();
        match reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender is ours and lives as long as we do.
            Err(_) => std::future::pending().await,
        }
    }
}
