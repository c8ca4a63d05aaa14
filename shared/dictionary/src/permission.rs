//! Who may issue what: one table.
//!
//! It looks at the issuer and the command only. Whether the command makes sense now is judged where it is applied.

use rafty_types::{ControlCommand, Member, MemberId, MemberKind};

/// Who may issue a command.
#[derive(PartialEq, Eq)]
enum Issuers {
    Operators,
    /// This member itself, and nobody else.
    Only(MemberId),
    /// Operators, and this member itself.
    OperatorsAnd(MemberId),
    Anybody,
}

/// Operators work at members of role [`MemberKind::Operator`]; a device changes its own affairs only. A key or an address is
/// told by its owner alone.
fn issuers(command: &ControlCommand) -> Issuers {
    use ControlCommand as C;
    match command {
        C::TokenCreated(_)
        | C::ClientCreated(_)
        | C::ClientRevoked { .. }
        | C::RunSubmitted(_)
        | C::RunStopped { .. }
        | C::RolledBack { .. }
        | C::SettingChanged { .. }
        | C::FeatureLevel { .. } => Issuers::Operators,
        C::Revoke { member } => Issuers::OperatorsAnd(*member),
        C::RotateKey { member, .. }
        | C::AddressChanged { member, .. }
        | C::TenureBegan { member, .. }
        | C::Supports { member, .. } => Issuers::Only(*member),
        C::SeatChanged { .. }
        | C::ReachabilityChanged { .. }
        | C::IncarnationsRecorded(_)
        | C::StateDigestsRecorded { .. }
        | C::RoundOpened { .. }
        | C::UpdateAccepted { .. }
        | C::RoundPublished(_)
        | C::RoundFailed { .. }
        | C::Enrol(_)
        | C::SessionOpened
        | C::SessionClosed { .. } => Issuers::Anybody,
    }
}

/// Whether `issuer` may issue `command` at all.
pub fn may(issuer: &Member, command: &ControlCommand) -> bool {
    let operator = issuer.role == MemberKind::Operator;
    match issuers(command) {
        Issuers::Operators => operator,
        Issuers::Only(member) => member == issuer.id,
        Issuers::OperatorsAnd(member) => operator || member == issuer.id,
        Issuers::Anybody => true,
    }
}

/// Whether `command` counts only with its issuer's signature: an operator's commands, and what members say in their own
/// name. Of all others the word of the leader that proposes them is enough.
pub fn is_issued(command: &ControlCommand) -> bool {
    issuers(command) != Issuers::Anybody
}

/// Whether only the leader issues `command`, in its own term. A leader must not propose one for another member:
/// until a tenure has begun in the term, the state alone cannot tell who leads.
pub fn leader_only(command: &ControlCommand) -> bool {
    use ControlCommand as C;
    matches!(
        command,
        C::SeatChanged { .. }
            | C::ReachabilityChanged { .. }
            | C::IncarnationsRecorded(_)
            | C::StateDigestsRecorded { .. }
            | C::TenureBegan { .. }
            | C::RoundOpened { .. }
            | C::UpdateAccepted { .. }
            | C::RoundPublished(_)
            | C::RoundFailed { .. }
    )
}
