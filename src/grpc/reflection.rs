//! Reflection: the descriptors of all services with their comments, so that `grpcurl describe` reads like a
//! manual. In both versions of the protocol, since older tools know only v1alpha.

use crate::grpc::gate::Gate;
use tonic::service::Routes;
use tonic_reflection::server::Builder;
use tower::Layer as _;

/// The largest question: a name or two.
const QUESTION_BYTES: usize = 4 << 10;

/// Adds both reflection services for these descriptors, behind a gate of their own: a question is short, but its answer is
/// not, and there may be many of them in a stream.
///
/// # Panics
/// If the descriptors, which are built into the program, are damaged.
pub fn add_to(routes: Routes, gate: &Gate, descriptors: &[&'static [u8]]) -> Routes {
    let builder = || {
        descriptors.iter().fold(Builder::configure(), |builder, descriptors| {
            builder.register_encoded_file_descriptor_set(descriptors)
        })
    };
    let v1 = builder().build_v1().expect("the descriptors are part of the program");
    let v1alpha = builder().build_v1alpha().expect("the descriptors are part of the program");
    routes
        .add_service(gate.layer(v1.max_decoding_message_size(QUESTION_BYTES)))
        .add_service(gate.layer(v1alpha.max_decoding_message_size(QUESTION_BYTES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_that_are_built_in_can_be_read() {
        let budget = || crate::budget::Budget::new(1 << 20);
        let gate = Gate::new(1, budget(), budget(), std::time::Duration::from_secs(1));
        let _ = add_to(
            Routes::default(),
            &gate,
            &[crate::proto::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET],
        );
    }
}
