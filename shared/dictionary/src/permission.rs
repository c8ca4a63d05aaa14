//! Who may issue what: one table.
//!
//! It looks at the issuer and the command only. Whether the command makes sense now is judged where it is applied.

use rafty_types::{ControlCommand, Member, PeerRole};

/// Whether `issuer` may issue `command` at all.
///
/// Operators work at members of role [`PeerRole::Peer`]; a device changes its own affairs only. A key or an address is
/// told by its owner alone.
pub fn may(issuer: &Member, command: &ControlCommand) -> bool {
    use ControlCommand as C;
    let operator = issuer.role == PeerRole::Peer;
    match command {
        C::TokenCreated(_)
        | C::ClientCreated(_)
        | C::ClientRevoked { .. }
        | C::RunSubmitted(_)
        | C::RunStopped { .. }
        | C::RolledBack { .. }
        | C::SettingChanged { .. }
        | C::FeatureLevel(_) => operator,
        C::Revoke { member } => operator || *member == issuer.id,
        C::RotateKey { member, .. } | C::AddressChanged { member, .. } | C::TenureBegan { member, .. } => {
            *member == issuer.id
        }
        C::SeatChanged { .. }
        | C::SilenceChanged { .. }
        | C::IncarnationsRecorded(_)
        | C::StateDigestsRecorded { .. }
        | C::RoundOpened { .. }
        | C::UpdateAccepted { .. }
        | C::RoundPublished(_)
        | C::RoundFailed { .. }
        | C::Enrol(_)
        | C::SessionOpened
        | C::SessionClosed { .. } => true,
    }
}

/// Whether only the leader issues `command`, in its own term. A leader must not propose one for another member:
/// until a tenure has begun in the term, the state alone cannot tell who leads.
pub fn leader_only(command: &ControlCommand) -> bool {
    use ControlCommand as C;
    matches!(
        command,
        C::SeatChanged { .. }
            | C::SilenceChanged { .. }
            | C::IncarnationsRecorded(_)
            | C::StateDigestsRecorded { .. }
            | C::TenureBegan { .. }
            | C::RoundOpened { .. }
            | C::UpdateAccepted { .. }
            | C::RoundPublished(_)
            | C::RoundFailed { .. }
    )
}

/// Whether `command` counts only with its issuer's signature: an operator's commands, and what members say in their own
/// name. Of all others the word of the leader that proposes them is enough.
pub fn is_issued(command: &ControlCommand) -> bool {
    use ControlCommand as C;
    matches!(
        command,
        C::TokenCreated(_)
            | C::ClientCreated(_)
            | C::ClientRevoked { .. }
            | C::RunSubmitted(_)
            | C::RunStopped { .. }
            | C::RolledBack { .. }
            | C::SettingChanged { .. }
            | C::FeatureLevel(_)
            | C::Revoke { .. }
            | C::RotateKey { .. }
            | C::AddressChanged { .. }
            | C::TenureBegan { .. }
    )
}
