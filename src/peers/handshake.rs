//! What stands before everything else on a connection between nodes of a cluster with a secret: each side proves
//! that it knows the secret, without telling it.
//!
//! ```text
//! dialling node                         listening node
//!   greeting, nonce D  ───────────────▶
//!                      ◀───────────────  greeting, nonce L
//!   HMAC(dialling, D, L) ─────────────▶
//!                      ◀───────────────  HMAC(listening, D, L)
//!   HTTP/2 begins
//! ```
//!
//! The node that dials proves it first, so a stranger gets nothing of which it could guess the secret. The nonces make
//! every proof good for one connection only. What follows is neither encrypted nor signed: whoever can change packets on
//! the way can still take over a connection.

use crate::peers::secret::{ClusterSecret, NONCE_BYTES, Side, fill_random};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What a node sends first. No beginning of HTTP/2, in either direction.
const GREETING: [u8; 8] = *b"KONTIKI\x01";

/// The beginning of HTTP/2 (RFC 9113 §3.4), as a node without a secret sends it.
const PREFACE: [u8; 8] = *b"PRI * HT";

/// An empty SETTINGS frame, and a GOAWAY with the error INADEQUATE_SECURITY (RFC 9113 §6.5, §6.8, §7): what a node
/// without a secret understands.
const GO_AWAY: [u8; 26] = [
    0, 0, 0, 4, 0, 0, 0, 0, 0, // SETTINGS
    0, 0, 8, 7, 0, 0, 0, 0, 0, // GOAWAY
    0, 0, 0, 0, 0, 0, 0, 0xc,
];

/// A node says hello and asks for a vote in less.
const DRAIN_BYTES: u64 = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub(in crate::peers) enum HandshakeError {
    #[error(
        "it does not ask for the cluster's secret: give it the same --cluster-secret-file as this node, and check that \
         the address is that of a node"
    )]
    NotAsked,
    #[error(
        "it was not asked for the cluster's secret and has none: give it the same --cluster-secret-file as this node"
    )]
    NoSecret,
    #[error("the first bytes are neither a node's nor those of HTTP/2")]
    Stranger,
    #[error("its cluster secret is another one: --cluster-secret-file must be the same on all nodes")]
    SecretDiffers,
    #[error("it does not answer to the proof of the cluster's secret")]
    Silent,
    #[error("the handshake broke: {0}")]
    Broken(#[from] io::Error),
}

/// The side that dials.
pub(in crate::peers) async fn dial<S>(stream: &mut S, secret: &ClusterSecret) -> Result<(), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let own = nonce()?;
    send(stream, &[&GREETING, &own]).await?;
    let greeting = receive::<_, { GREETING.len() }>(stream).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => HandshakeError::NotAsked,
        _ => error.into(),
    })?;
    if greeting != GREETING {
        return Err(HandshakeError::NotAsked);
    }
    let other = receive(stream).await?;
    send(stream, &[&secret.proof(Side::Dialling, [&own, &other])]).await?;
    let proof = receive(stream).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => HandshakeError::SecretDiffers,
        _ => error.into(),
    })?;
    match secret.is_proof(&proof, Side::Listening, [&own, &other]) {
        true => Ok(()),
        false => Err(HandshakeError::SecretDiffers),
    }
}

/// The side that listens.
pub(in crate::peers) async fn listen<S>(stream: &mut S, secret: &ClusterSecret) -> Result<(), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match receive(stream).await? {
        GREETING => {}
        PREFACE => {
            send(stream, &[&GO_AWAY]).await?;
            stream.shutdown().await?;
            // What it had sent already is read, since closing with unread bytes would be a reset, and the other end would
            // never see the answer.
            tokio::io::copy(&mut stream.take(DRAIN_BYTES), &mut tokio::io::sink()).await?;
            return Err(HandshakeError::NoSecret);
        }
        _ => return Err(HandshakeError::Stranger),
    }
    let other = receive(stream).await?;
    let own = nonce()?;
    send(stream, &[&GREETING, &own]).await?;
    let proof = receive(stream).await?;
    if !secret.is_proof(&proof, Side::Dialling, [&other, &own]) {
        return Err(HandshakeError::SecretDiffers);
    }
    send(stream, &[&secret.proof(Side::Listening, [&other, &own])]).await?;
    Ok(())
}

fn nonce() -> io::Result<[u8; NONCE_BYTES]> {
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce)?;
    Ok(nonce)
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, parts: &[&[u8]]) -> io::Result<()> {
    stream.write_all(&parts.concat()).await?;
    stream.flush().await
}

async fn receive<S: AsyncRead + Unpin, const LENGTH: usize>(stream: &mut S) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::secret::PROOF_BYTES;
    use tokio::io::duplex;

    fn secret(text: &str) -> ClusterSecret {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        ClusterSecret::read(file.path()).unwrap()
    }

    /// What both sides say of a handshake between them.
    async fn between(dialling: &str, listening: &str) -> [Result<(), HandshakeError>; 2] {
        let (mut near, mut far) = duplex(1024);
        let (dialling, listening) = (secret(dialling), secret(listening));
        // A side that has failed hangs up.
        let one = async move { dial(&mut near, &dialling).await };
        let two = async move { listen(&mut far, &listening).await };
        let (one, two) = tokio::join!(one, two);
        [one, two]
    }

    #[tokio::test]
    async fn who_knows_the_secret_comes_in_and_nobody_else() {
        let same = between("the secret of this cluster", "the secret of this cluster").await;
        assert!(matches!(same, [Ok(()), Ok(())]), "{same:?}");
        let other = between("the secret of this cluster", "the secret of another one").await;
        assert!(
            matches!(other, [Err(HandshakeError::SecretDiffers), Err(HandshakeError::SecretDiffers)]),
            "{other:?}"
        );
    }

    #[tokio::test]
    async fn a_node_without_a_secret_hears_so_in_its_own_protocol() {
        let (mut near, mut far) = duplex(1024);
        send(&mut near, &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]).await.unwrap();
        near.shutdown().await.unwrap();
        let outcome = listen(&mut far, &secret("the secret of this cluster")).await;
        assert!(matches!(outcome, Err(HandshakeError::NoSecret)), "{outcome:?}");
        assert_eq!(receive::<_, 26>(&mut near).await.unwrap(), GO_AWAY);
    }

    #[tokio::test]
    async fn a_stranger_gets_no_proof_by_which_to_guess() {
        let (mut near, mut far) = duplex(1024);
        let listening =
            tokio::spawn(async move { listen(&mut far, &secret("the secret of this cluster")).await });
        send(&mut near, &[&GREETING, &[7; NONCE_BYTES], &[7; PROOF_BYTES]]).await.unwrap();
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard.len(), GREETING.len() + NONCE_BYTES);
        assert!(matches!(listening.await.unwrap(), Err(HandshakeError::SecretDiffers)));
    }

    #[tokio::test]
    async fn a_proof_cannot_be_sent_back_as_ones_own() {
        // A node is made to dial a stranger, which mirrors what it says.
        let (mut near, mut far) = duplex(1024);
        let dialling =
            tokio::spawn(async move { dial(&mut near, &secret("the secret of this cluster")).await });
        for length in [GREETING.len() + NONCE_BYTES, PROOF_BYTES] {
            let mut said = vec![0; length];
            far.read_exact(&mut said).await.unwrap();
            far.write_all(&said).await.unwrap();
        }
        assert!(matches!(dialling.await.unwrap(), Err(HandshakeError::SecretDiffers)));
    }

    #[tokio::test]
    async fn a_listener_without_a_secret_is_named() {
        let (mut near, mut far) = duplex(1024);
        // As a server of HTTP/2 does it: settings first.
        far.write_all(&GO_AWAY).await.unwrap();
        let outcome = dial(&mut near, &secret("the secret of this cluster")).await;
        assert!(matches!(outcome, Err(HandshakeError::NotAsked)), "{outcome:?}");
    }
}
