//! A newcomer's statement about itself, signed with its own key and the token's.
//!
//! Only made here. It is checked where it is applied, on every peer, with nothing but public keys.

use crate::{Identity, RsaPublic, Token};
use rafty_types::{Enrolment, EnrolmentStatement, MemberId, SetId, Signature};
use std::net::SocketAddr;

/// The statement of a newcomer that holds `token`, for the peer set in the epoch `set`. `exporter` is the TLS exporter of the connection it joins over:
/// the statement is worth nothing on another. More addresses than
/// [`MAX_ADDRESSES`](rafty_types::MAX_ADDRESSES) are refused where it is applied.
pub fn enrol(
    identity: &Identity,
    rsa_public: &RsaPublic,
    token: &Token,
    set: SetId,
    exporter: [u8; 32],
    addresses: Vec<SocketAddr>,
) -> Enrolment {
    let rsa_public = rsa_public.der().to_vec();
    let statement = EnrolmentStatement { set, key: identity.key(), rsa_public, addresses, exporter };
    let bytes = statement.to_bytes();
    let own_signature = identity.sign(&bytes);
    let token_signature = token.signing_identity().sign(&bytes);
    Enrolment { token: token.id, statement, own_signature, token_signature }
}

/// The statement of a member that lost its log and enrols anew under the identity the roster knows, without a token and
/// in place of the member that it was.
pub fn re_enrol(
    identity: &Identity,
    replaced: MemberId,
    rsa_public: &RsaPublic,
    set: SetId,
    exporter: [u8; 32],
    addresses: Vec<SocketAddr>,
) -> Enrolment {
    let rsa_public = rsa_public.der().to_vec();
    let statement = EnrolmentStatement { set, key: identity.key(), rsa_public, addresses, exporter };
    let own_signature = identity.sign(&statement.to_bytes_of_return(replaced));
    let token = Enrolment::naming(replaced);
    Enrolment { token, statement, own_signature, token_signature: Signature::default() }
}
