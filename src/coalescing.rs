//! Small messages share a write to their socket.
//!
//! Where a socket takes vectored writes, h2 writes a payload of 256 bytes or more by itself, so
//! that it need not be copied: a system call for each small value that is read or written, which
//! costs more than all else that is done for it. Where a socket takes none, the threshold is
//! 1 KiB, and what is ready at the same time leaves in one write.

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tower::ServiceExt as _;

pin_project! {
    /// A connection that takes no vectored writes.
    #[derive(Debug)]
    pub struct Coalescing {
        #[pin]
        inner: TcpStream,
    }
}

impl Coalescing {
    /// Wraps an open connection.
    pub fn new(inner: TcpStream) -> Self {
        Self { inner }
    }

    /// How many bytes have arrived and were not read, if the system tells.
    pub fn lying(&self) -> Option<u64> {
        rustix::io::ioctl_fionread(&self.inner).ok()
    }
}

impl AsyncRead for Coalescing {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().inner.poll_read(context, buffer)
    }
}

impl AsyncWrite for Coalescing {
    // `is_write_vectored` keeps its default: false.

    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(context)
    }
}

impl Connected for Coalescing {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.inner.connect_info()
    }
}

/// Makes the connections of a channel.
pub fn connector(
    timeout: Duration,
) -> impl tower::Service<
    http::Uri,
    Response = TokioIo<Coalescing>,
    Error = impl std::error::Error + Send + Sync + 'static,
    Future = impl Future<Output: Send> + Send,
> + Clone
+ Send
+ 'static {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    // Nagle's algorithm would keep small messages back for 40 ms.
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(timeout));
    connector.map_response(|connection| TokioIo::new(Coalescing::new(connection.into_inner())))
}
