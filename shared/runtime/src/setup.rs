//! How a directory becomes a member: by founding a peer set, or by joining one with a token.
//!
//! Nothing half-made is left behind: the directory is made beside its place and renamed when all is well.

use crate::address::reachable;
use crate::clients::client_address;
use crate::host_port::HostPort;
use crate::machine::UserMachine;
use crate::member::{IDENTITY_FILE, MEMBER_FILE, MemberFile, RSA_FILE};
use crate::net;
use rafty_dictionary::{Entries, Replicated};
use rafty_seal::{Identity, RsaKey, Token};
use rafty_storage::{DataDir, Log, replace_file};
use rafty_types::{
    Batch, ClusterId, Epoch, Genesis, HardState, Index, Member, MemberId, MemberKind, Membership, SetId,
    Settings, Snapshot, SnapshotMeta, Term,
};
use rafty_wire::JoinReply;
use rand_core::Rng;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

mod staging;

pub use crate::interrupt::end_cleanly_on_signals;
use staging::{Staged, settle, stage};

/// How many ports are tried for one that is free.
const PORT_TRIES: usize = 64;
/// Among which.
const FREE_PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A new peer set with one member.
#[derive(Clone, Debug)]
pub struct Founding {
    /// The member's directory; must not exist, or be empty.
    pub dir: PathBuf,
    /// The peer set's name.
    pub name: String,
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// Where others reach it, when that is not `listen`.
    pub advertise: Option<HostPort>,
    /// The peer set's settings.
    pub settings: Settings,
}

/// A newcomer.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The member's directory; must not exist, or be empty.
    pub dir: PathBuf,
    /// The token's text.
    pub token: String,
    /// Where the member that made the token may be: asked one after the other.
    pub peers: Vec<SocketAddr>,
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// Where others reach it, when that is not `listen`.
    pub advertise: Option<HostPort>,
    /// Where this device's training data is.
    pub data: Option<PathBuf>,
}

/// A directory did not become a member. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// It is one already.
    #[error(
        "{0} is already the directory of a member; nothing was changed; start it with `up`, or use another --dir"
    )]
    Already(PathBuf),
    /// A setting is out of range.
    #[error(transparent)]
    Settings(#[from] rafty_types::SettingsError),
    /// The name is too long or empty.
    #[error("a name has 1 to 64 characters; nothing was changed")]
    Name,
    /// The text is no token.
    #[error("{0}; nothing was changed")]
    Token(#[from] rafty_seal::TokenError),
    /// The address cannot be used.
    #[error("cannot listen on {0}: {1}; nothing was changed; use another --listen")]
    Listen(SocketAddr, std::io::Error),
    /// The others are of another family of addresses, or beyond loopback.
    #[error(
        "a member that listens on {listen} cannot reach {peer}; nothing was changed; use --listen 0.0.0.0:PORT for IPv4, \
         [::]:PORT for IPv4 and IPv6"
    )]
    CannotReach {
        /// Where it would listen.
        listen: SocketAddr,
        /// Whom it would ask.
        peer: SocketAddr,
    },
    /// Nobody answered, or not the right one.
    #[error("cannot join over {peer}: {why}; nothing was changed here")]
    Unreachable {
        /// Whom.
        peer: SocketAddr,
        /// Why.
        why: String,
    },
    /// Too many join at the moment.
    #[error(
        "{peer} is asked by too many newcomers now; nothing was changed; try again in {} s",
        after.as_secs_f64().ceil()
    )]
    Busy {
        /// Whom.
        peer: SocketAddr,
        /// When another try makes sense; drawn, so that not all who were told come back at once.
        after: Duration,
    },
    /// No address is known.
    #[error("no address of a peer is known; nothing was changed; give the one that `token create` printed")]
    NobodyToAsk,
    /// The peer set does not take it.
    #[error("the peer set refused: {0}")]
    Refused(String),
    /// The data cannot be used.
    #[error("the data at {0} cannot be read: {1}; nothing was changed; check --data")]
    Data(PathBuf, std::io::Error),
    /// The peer set took it, and then the disk failed.
    #[error(
        "the peer set has admitted member {member}, but {dir} cannot be made: {why}; nothing was left behind here; \
         remove it with `rafty members remove {member}` and join again with a new token"
    )]
    Admitted {
        /// As whom.
        member: MemberId,
        /// The directory.
        dir: PathBuf,
        /// Why.
        why: String,
    },
    /// The disk.
    #[error("cannot make {dir}: {why}; nothing was left behind")]
    Disk {
        /// The directory.
        dir: PathBuf,
        /// Why.
        why: String,
    },
}

/// Founds a peer set with the dictionary.
///
/// # Errors
/// See [`SetupError`].
pub fn found(founding: &Founding) -> Result<MemberFile, SetupError> {
    found_with(founding, Entries::default())
}

/// Founds a peer set with another machine, in its initial state.
///
/// # Errors
/// See [`SetupError`].
pub fn found_with(founding: &Founding, machine: impl UserMachine) -> Result<MemberFile, SetupError> {
    let found = |genesis| Replicated::found(genesis, machine).map_err(|error| error.to_string());
    establish(founding, Index(1), found, |_| Ok(()))
}

/// Makes the first member of a peer set. It is enrolled at `first`, `found` makes the state as of that index, and `fill`
/// adds to its directory what that state needs.
pub(crate) fn establish<U: UserMachine>(
    founding: &Founding,
    first: Index,
    found: impl FnOnce(Genesis) -> Result<Replicated<U>, String>,
    fill: impl FnOnce(&DataDir) -> Result<(), String>,
) -> Result<MemberFile, SetupError> {
    founding.settings.validate()?;
    if founding.name.is_empty() || founding.name.len() > rafty_types::MAX_NAME_LEN {
        return Err(SetupError::Name);
    }
    let staged = stage(&founding.dir)?;
    let socket = bind(founding.listen)?;
    let mut rng = crate::random::rng();
    let (identity, rsa) = (Identity::generate(&mut rng), RsaKey::generate(&mut rng));
    let mut cluster = ClusterId::default();
    rng.fill_bytes(&mut cluster.0);
    let listen = with_port(founding.listen, &socket);
    let founder = Member {
        id: MemberId(first.0),
        key: identity.key(),
        rsa_public: rsa.public_der(),
        role: MemberKind::Operator,
        may_lead: true,
        addresses: vec![advertised(founding.advertise.as_ref()).unwrap_or_else(|| reachable(listen, None))],
        seat: true,
        tenures: 0,
    };
    let (name, settings) = (founding.name.clone(), founding.settings.clone());
    let genesis =
        Genesis { cluster, name: name.clone(), settings: settings.clone(), founder: founder.clone() };
    let member = MemberFile {
        cluster,
        epoch: Some(Epoch::first(cluster)),
        name,
        member: founder.id,
        kind: MemberKind::Operator,
        listen,
        advertise: founding.advertise.clone(),
        clients: None,
        settings,
        members: vec![founder],
        data: None,
    };
    let failed = |why| SetupError::Disk { dir: founding.dir.clone(), why };
    let state = found(genesis).map_err(failed)?;
    write_secrets(&staged, &identity, &rsa).map_err(failed)?;
    write_first_state(&staged, member.member, &state).map_err(failed)?;
    fill(&DataDir::open(&staged.dir).map_err(|error| failed(error.to_string()))?).map_err(failed)?;
    finish(staged, &member, &founding.dir).map_err(failed)?;
    Ok(member)
}

/// Joins the peer set that a token is of.
///
/// # Errors
/// See [`SetupError`]: with several peers, what the last one said.
pub fn join(joining: &Joining) -> Result<MemberFile, SetupError> {
    join_when_reached(joining, |_| None)
}

/// As [`join`], but when none of the peers can be reached `again` is told why, may wait, and gives those to ask then;
/// `None` ends it. Keys are made once: on a small device that takes far longer than asking.
///
/// # Errors
/// See [`SetupError`].
pub fn join_when_reached(
    joining: &Joining,
    mut again: impl FnMut(&SetupError) -> Option<Vec<SocketAddr>>,
) -> Result<MemberFile, SetupError> {
    let token: Token = joining.token.parse()?;
    // Whatever could go wrong with paths is found before a token is spent.
    let data = joining.data.as_deref().map(usable_data).transpose()?;
    let staged = stage(&joining.dir)?;
    let listen = with_port(joining.listen, &bind(joining.listen)?);
    let mut rng = crate::random::rng();
    let (identity, rsa) = (Identity::generate(&mut rng), RsaKey::generate(&mut rng));
    // As much as can be is on the disk before anybody is asked: a token serves once.
    let dir = joining.dir.clone();
    write_secrets(&staged, &identity, &rsa).map_err(|why| SetupError::Disk { dir: dir.clone(), why })?;
    let enrol = |peers: &[SocketAddr]| {
        let peers = within_reach(listen, peers)?;
        let ask_in = |set| {
            let reply = ask(&peers, token.cluster, token.responder, |peer, exporter| {
                let advertised = advertised(joining.advertise.as_ref());
                let address = advertised.unwrap_or_else(|| reachable(listen, Some(peer)));
                rafty_seal::enrol(&identity, rsa.public(), &token, set, exporter, vec![address])
            });
            reply.map(|reply| (reply, set))
        };
        // A token does not say in which epoch the set is; the member that the token names does.
        match ask_in(SetId::first(token.cluster))? {
            (JoinReply::OtherEpoch { epoch }, set) => ask_in(SetId { epoch, ..set }),
            answered => Ok(answered),
        }
    };
    let mut peers = joining.peers.clone();
    let (reply, set) = loop {
        match enrol(&peers) {
            Ok(reply) => break reply,
            Err(error) => peers = again(&error).ok_or(error)?,
        }
    };
    let (member, cluster, name, settings, members) = match reply {
        JoinReply::Granted { member, cluster, name, settings, members } => {
            (member, cluster, name, settings, members)
        }
        JoinReply::Refused { reason } => return Err(SetupError::Refused(reason)),
        JoinReply::OtherEpoch { .. } => return Err(SetupError::Refused("it was recovered meanwhile".into())),
        JoinReply::Renamed { .. } => {
            return Err(SetupError::Refused("it takes this newcomer for a member".into()));
        }
    };
    let own = members.iter().find(|known| known.id == member);
    let kind = own.map_or(MemberKind::Agent, |own| own.role);
    let advertise = joining.advertise.clone();
    let epoch = Some(set.epoch);
    let file = MemberFile {
        cluster,
        epoch,
        name,
        member,
        kind,
        listen,
        advertise,
        clients: None,
        settings,
        members,
        data,
    };
    finish(staged, &file, &joining.dir).map_err(|why| SetupError::Admitted { member, dir, why })?;
    Ok(file)
}

/// What is advertised, if it is known now.
fn advertised(advertise: Option<&HostPort>) -> Option<SocketAddr> {
    advertise.and_then(HostPort::address)
}

/// Those that packets get to from a socket that is bound to `listen`, where there are any.
fn within_reach(listen: SocketAddr, peers: &[SocketAddr]) -> Result<Vec<SocketAddr>, SetupError> {
    let within: Vec<_> = peers.iter().copied().filter(|peer| can_reach(listen.ip(), *peer)).collect();
    match peers.first() {
        Some(peer) if within.is_empty() => Err(SetupError::CannotReach { listen, peer: *peer }),
        _ => Ok(within),
    }
}

/// Whether packets come from a socket that is bound to `listen` to `peer`.
fn can_reach(listen: IpAddr, peer: SocketAddr) -> bool {
    let peer = peer.ip().to_canonical();
    let over_both = listen == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let same_family = listen.is_ipv4() == peer.is_ipv4() || over_both;
    same_family && (!listen.is_loopback() || peer.is_loopback())
}

/// The absolute path of the data, which must exist and be UTF-8: the member file is JSON.
fn usable_data(data: &Path) -> Result<PathBuf, SetupError> {
    let failed = |error| SetupError::Data(data.into(), error);
    std::fs::metadata(data).map_err(failed)?;
    let absolute = std::path::absolute(data).map_err(failed)?;
    match absolute.to_str() {
        Some(_) => Ok(absolute),
        None => Err(failed(std::io::Error::other("its path is not UTF-8"))),
    }
}

/// Writes the member file, the last one, and moves the directory to its place.
fn finish(staged: Staged, member: &MemberFile, place: &Path) -> Result<(), String> {
    write_member(&DataDir::open(&staged.dir).map_err(|error| error.to_string())?, member)?;
    settle(staged, place).map_err(|error| error.to_string())
}

/// Writes what a member knows of itself and the others.
pub(crate) fn write_member(dir: &DataDir, member: &MemberFile) -> Result<(), String> {
    let json = serde_json::to_vec_pretty(member).expect("a member file always encodes");
    replace_file(&dir.file(MEMBER_FILE), &json, false).map_err(|error| error.to_string())
}

/// Asks whichever of `peers` holds the key that is meant.
pub(crate) fn ask(
    peers: &[SocketAddr],
    cluster: ClusterId,
    responder: [u8; 16],
    enrolment: impl FnOnce(SocketAddr, [u8; 32]) -> rafty_types::Enrolment,
) -> Result<JoinReply, SetupError> {
    let executor = Arc::new(smol::Executor::new());
    let asked = async {
        let reached = net::reach(&executor, cluster, peers, responder).await.map_err(why_nobody)?;
        let peer = reached.address();
        reached.ask(|exporter| enrolment(peer, exporter)).await.map_err(|error| why_not(peer, error))
    };
    smol::block_on(executor.run(asked))
}

/// Of several that were not reached, what says most: that one is busy, or what the last one said.
fn why_nobody(failures: Vec<(SocketAddr, net::JoinError)>) -> SetupError {
    let busy = failures.iter().position(|(_, error)| matches!(error, net::JoinError::Busy { .. }));
    let at = busy.or(failures.len().checked_sub(1));
    let failure = at.and_then(|at| failures.into_iter().nth(at));
    failure.map_or(SetupError::NobodyToAsk, |(peer, error)| why_not(peer, error))
}

fn why_not(peer: SocketAddr, error: net::JoinError) -> SetupError {
    let draw = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    match error {
        net::JoinError::Busy { after } => SetupError::Busy { peer, after: after.mul_f64(1.0 + draw) },
        error => SetupError::Unreachable { peer, why: error.to_string() },
    }
}

/// Everything that is known before anybody is asked: the keys and an empty log.
fn write_secrets(staged: &Staged, identity: &Identity, rsa: &RsaKey) -> Result<(), String> {
    let dir = DataDir::open(&staged.dir).map_err(|error| error.to_string())?;
    let write =
        |file, bytes: &[u8]| replace_file(&dir.file(file), bytes, true).map_err(|error| error.to_string());
    write(IDENTITY_FILE, &identity.to_secret_bytes()[..])?;
    write(RSA_FILE, &rsa.to_der())?;
    Log::create(&dir.log()).map_err(|error| error.to_string())
}

/// The founder starts from a snapshot as of the index at which it is enrolled.
fn write_first_state<U: UserMachine>(
    staged: &Staged,
    founder: MemberId,
    state: &Replicated<U>,
) -> Result<(), String> {
    let index = state.applied();
    let membership = Membership { voters: vec![founder], ..Membership::default() };
    let meta = SnapshotMeta { index, term: Term(1), membership };
    let hard_state = HardState { term: Term(1), voted_for: None, commit: index };
    let install = Snapshot { meta, data: state.snapshot().into() };
    let batch = Batch { install: Some(install), hard_state: Some(hard_state), ..Batch::default() };
    let (mut log, _) = Log::open(&staged.dir.join("log")).map_err(|error| error.to_string())?;
    log.write(&[batch]).map_err(|error| error.to_string())
}

/// Tries the address before anything is made, and finds a port when none was asked for.
fn bind(listen: SocketAddr) -> Result<UdpSocket, SetupError> {
    let found = if listen.port() == 0 { free_port(listen.ip()) } else { try_bind(listen) };
    found.map_err(|error| SetupError::Listen(listen, error))
}

/// A socket on a port that is free for members and for clients, below those that systems give to whoever asks for any:
/// nobody takes it by chance between the setup of a member and its start.
///
/// # Errors
/// When no free one was found among many.
pub fn free_port(ip: IpAddr) -> std::io::Result<UdpSocket> {
    let mut rng = crate::random::rng();
    let mut found = Err(std::io::ErrorKind::AddrInUse.into());
    for _ in 0..PORT_TRIES {
        let port = FREE_PORTS.start + (rng.next_u32() % FREE_PORTS.len() as u32) as u16;
        found = try_bind(SocketAddr::new(ip, port));
        if found.is_ok() {
            break;
        }
    }
    found
}

fn try_bind(listen: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(listen)?;
    TcpListener::bind(client_address(socket.local_addr()?))?;
    Ok(socket)
}

fn with_port(listen: SocketAddr, socket: &UdpSocket) -> SocketAddr {
    let port = socket.local_addr().map_or(listen.port(), |bound| bound.port());
    SocketAddr::new(listen.ip(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_of_addresses_reaches_its_own_and_loopback_nothing_beyond() {
        let reaches = |listen: &str, peer: &str| can_reach(listen.parse().unwrap(), peer.parse().unwrap());
        for (listen, peer) in [
            ("0.0.0.0", "192.0.2.1:7400"),
            ("0.0.0.0", "[::ffff:192.0.2.1]:7400"),
            ("::", "192.0.2.1:7400"),
            ("::", "[2001:db8::1]:7400"),
            ("127.0.0.1", "127.0.0.1:7400"),
            ("192.0.2.7", "127.0.0.1:7400"),
        ] {
            assert!(reaches(listen, peer), "{listen} to {peer}");
        }
        for (listen, peer) in [
            ("::1", "127.0.0.1:7400"),
            ("::1", "[2001:db8::1]:7400"),
            ("0.0.0.0", "[2001:db8::1]:7400"),
            ("127.0.0.1", "192.0.2.1:7400"),
            ("2001:db8::7", "192.0.2.1:7400"),
        ] {
            assert!(!reaches(listen, peer), "{listen} to {peer}");
        }
    }

    #[test]
    fn a_path_that_is_no_text_is_refused_before_anybody_is_asked() {
        use std::os::unix::ffi::OsStringExt;
        let base = tempfile::tempdir().unwrap();
        let data = base.path().join(std::ffi::OsString::from_vec(b"caf\xe9".to_vec()));
        std::fs::create_dir(&data).unwrap();
        assert!(matches!(usable_data(&data), Err(SetupError::Data(..))));
        assert_eq!(usable_data(base.path()).unwrap(), base.path());
    }
}
