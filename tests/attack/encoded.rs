//! Calls whose message is given in its encoding: also such as no library would make.

use bytes::{BufMut, Bytes};
use kontiki::proto::v1;
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A message that is sent as it is.
#[derive(Clone, Debug, Default)]
struct Encoded(Bytes);

impl prost::Message for Encoded {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        _: u32,
        _: WireType,
        _: &mut impl bytes::Buf,
        _: DecodeContext,
    ) -> Result<(), DecodeError> {
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Calls `Service/Method` of the clients' protocol, which answers as transactions do.
pub async fn call(channel: Channel, method: &str, message: Bytes) -> Result<v1::TxnResponse, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path: PathAndQuery = format!("/kontiki.v1.{method}").parse().unwrap();
    let codec = tonic_prost::ProstCodec::<Encoded, v1::TxnResponse>::default();
    Ok(client.unary(Request::new(Encoded(message)), path, codec).await?.into_inner())
}
