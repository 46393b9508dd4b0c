//! The secret that all nodes of a cluster share, and nobody else knows.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

pub(in crate::peers) const NONCE_BYTES: usize = 32;
pub(in crate::peers) const PROOF_BYTES: usize = 32;

/// Shorter ones could be found by trying, by whoever has seen a handshake.
const BYTES_MIN: usize = 16;
/// Longer ones are some other file.
const BYTES_MAX: usize = 4096;
/// Of a secret that is made here.
const NEW_BYTES: usize = 32;

/// Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret(Arc<[u8]>);

/// Who proves that it knows the secret: a proof of one side is none of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::peers) enum Side {
    Dialling,
    Listening,
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot {action} the cluster secret {path}: {source}", path = .path.display())]
    Io { action: &'static str, path: Box<Path>, source: io::Error },
    #[error(
        "the cluster secret {path} has {bytes} bytes; expected {BYTES_MIN} to {BYTES_MAX}, as from \
         `openssl rand -hex 32`, and the same file on all nodes",
        path = .path.display()
    )]
    Length { path: Box<Path>, bytes: usize },
}

impl ClusterSecret {
    /// Reads it from a file. White space around it does not count.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::Io { action: "read", path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.permissions().mode() & 0o004 != 0 {
            tracing::warn!(
                "every user of this machine can read the cluster secret {}; chmod o-r it",
                path.display()
            );
        }
        let mut bytes = Vec::new();
        file.take(BYTES_MAX as u64 * 2).read_to_end(&mut bytes).map_err(failed)?;
        let trimmed = bytes.trim_ascii();
        if !(BYTES_MIN..=BYTES_MAX).contains(&trimmed.len()) {
            return Err(SecretError::Length { path: path.into(), bytes: trimmed.len() });
        }
        Ok(Self(trimmed.into()))
    }

    /// Makes the file with a random secret in it, unless it is there. If several nodes do that in a folder that they
    /// share, all end up with the same one.
    pub fn create_if_absent(path: &Path) -> Result<(), SecretError> {
        let failed = |action| move |source| SecretError::Io { action, path: path.into(), source };
        if path.exists() {
            return Ok(());
        }
        let mut random = [0; NEW_BYTES];
        fill_random(&mut random).map_err(failed("make"))?;
        // For its owner alone, and gone if it does not get the name.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let draft = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
        let mut draft = draft.map_err(failed("make"))?;
        writeln!(draft, "{}", hex::encode(random)).map_err(failed("make"))?;
        draft.as_file().sync_all().map_err(failed("make"))?;
        // Never replaces what is there, and the file is never seen half written.
        match draft.persist_noclobber(path) {
            Ok(_) => tracing::info!("made the cluster secret {}", path.display()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("make")(error.error)),
        }
        Ok(())
    }

    /// A proof that `side` knows the secret, for this one handshake.
    pub(in crate::peers) fn proof(&self, side: Side, nonces: [&[u8; NONCE_BYTES]; 2]) -> [u8; PROOF_BYTES] {
        self.mac(side, nonces).finalize().into_bytes().into()
    }

    /// Whether it is that proof. Takes the same time whatever differs.
    pub(in crate::peers) fn is_proof(
        &self,
        proof: &[u8; PROOF_BYTES],
        side: Side,
        nonces: [&[u8; NONCE_BYTES]; 2],
    ) -> bool {
        self.mac(side, nonces).verify_slice(proof).is_ok()
    }

    fn mac(&self, side: Side, nonces: [&[u8; NONCE_BYTES]; 2]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(match side {
            Side::Dialling => b"kontiki peer dialling ",
            Side::Listening => b"kontiki peer listening",
        });
        nonces.into_iter().for_each(|nonce| mac.update(nonce));
        mac
    }
}

impl std::fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterSecret(…)")
    }
}

/// Random bytes that cannot be guessed.
pub(in crate::peers) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn read(content: &[u8]) -> Result<ClusterSecret, SecretError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, content).unwrap();
        ClusterSecret::read(file.path())
    }

    #[test]
    fn white_space_around_it_does_not_count() {
        assert_eq!(read(b"0123456789abcdef").unwrap(), read(b"  0123456789abcdef\n").unwrap());
        assert_ne!(read(b"0123456789abcdef").unwrap(), read(b"0123456789abcdeF").unwrap());
    }

    #[test]
    fn what_is_too_short_or_no_secret_at_all_is_refused() {
        for length in [0, BYTES_MIN - 1, BYTES_MAX + 1, 1 << 20] {
            let error = read(&vec![b'x'; length]).unwrap_err();
            assert!(matches!(error, SecretError::Length { .. }), "{length}: {error}");
        }
    }

    #[test]
    fn nodes_that_make_it_at_the_same_time_get_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| ClusterSecret::create_if_absent(&path).unwrap());
            }
        });
        let made = ClusterSecret::read(&path).unwrap();
        ClusterSecret::create_if_absent(&path).unwrap();
        assert_eq!(ClusterSecret::read(&path).unwrap(), made, "what is there stays");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no drafts are left");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn it_is_not_shown() {
        assert_eq!(format!("{:?}", read(b"0123456789abcdef").unwrap()), "ClusterSecret(…)");
    }
}
