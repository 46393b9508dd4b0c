//! How a child process learns that `kontiki dev` is gone, even if it was killed with -9 and could tell nobody.
//!
//! The parent holds the other end of the child's standard input and never
//! writes to it. However the parent ends, the kernel closes that end, and the
//! child reads the end of its input.

use std::io::{ErrorKind, Read};
use tokio::sync::oneshot;

/// The environment variable that makes [`parent_gone`] watch; its value is `1`.
pub const EXIT_WITH_PARENT: &str = "KONTIKI_EXIT_WITH_PARENT";

/// Completes when the process that started this one is gone. It never completes unless [`EXIT_WITH_PARENT`]
/// is `1`, so that any server may wait for it. To be called once: it takes over the process's standard input.
pub async fn parent_gone() {
    if std::env::var_os(EXIT_WITH_PARENT).is_none_or(|value| value != "1") {
        return std::future::pending().await;
    }
    end_of(std::io::stdin()).await;
}

/// Completes at the end of `input`.
///
/// On a plain thread, because tokio's stdin reads on its blocking pool, and a runtime waits for that pool
/// when it is dropped: the read, which ends only with the parent, would hold up an orderly stop.
async fn end_of(mut input: impl Read + Send + 'static) {
    let (gone, signal) = oneshot::channel::<()>();
    let watch = move || {
        let mut scrap = [0; 64];
        loop {
            match input.read(&mut scrap) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        drop(gone);
    };
    if std::thread::Builder::new().name("parent-watch".into()).spawn(watch).is_err() {
        // Better to outlive the parent than to stop a server whose parent still runs.
        return std::future::pending().await;
    }
    // An error means that the sender was dropped, which is the signal.
    let _ = signal.await;
}

#[cfg(test)]
mod tests {
    use super::end_of;
    use std::io::Write as _;
    use std::time::Duration;

    #[tokio::test]
    async fn the_end_of_the_pipe_is_the_end_of_the_parent() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut gone = std::pin::pin!(end_of(reader));
        writer.write_all(b"bytes mean nothing").unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), &mut gone).await;
        assert!(early.is_err(), "the parent still holds its end");
        drop(writer);
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the end was not noticed");
    }
}
