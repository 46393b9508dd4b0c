//! Reflection: the descriptors of all services with their comments, so that `grpcurl describe` reads like a
//! manual. In both versions of the protocol, since older tools know only v1alpha.

use tonic::service::Routes;
use tonic_reflection::server::Builder;

/// The largest question: a name or two.
const QUESTION_BYTES: usize = 4 << 10;

/// Adds both reflection services for these descriptors.
///
/// # Panics
/// If the descriptors, which are built into the program, are damaged.
pub fn add_to(routes: Routes, descriptors: &[&'static [u8]]) -> Routes {
    let builder = || {
        descriptors.iter().fold(Builder::configure(), |builder, descriptors| {
            builder.register_encoded_file_descriptor_set(descriptors)
        })
    };
    let v1 = builder().build_v1().expect("the descriptors are part of the program");
    let v1alpha = builder().build_v1alpha().expect("the descriptors are part of the program");
    routes
        .add_service(v1.max_decoding_message_size(QUESTION_BYTES))
        .add_service(v1alpha.max_decoding_message_size(QUESTION_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_that_are_built_in_can_be_read() {
        let _ =
            add_to(Routes::default(), &[crate::proto::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET]);
    }
}
