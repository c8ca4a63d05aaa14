//! Who is a member, who shall vote, and who may still join.
//!
//! The roster is the *desired* membership; making the engine follow it is `consensus`. It checks signatures over
//! statements; that a statement belongs to the connection it came over is checked where the connection is.

use crate::clock::{Expiring, expiry};
use crate::control::Context;
use rafty_types::{
    Digest, Enrolment, EnrolmentStatement, MAX_ADDRESSES, MAX_RSA_KEY_LEN, MAX_SEATS_CHANGED, Member,
    MemberId, Mutation, PeerKey, Rejection, SetId, Signature, TokenRecord, format_2, is_rsa_public, planted,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// Most tokens that are neither used up nor expired.
pub const MAX_TOKENS: usize = 256;
/// Most newcomers that one token may admit.
pub const MAX_TOKEN_USES: u32 = 1_000;
/// How often one identity may join; after that it needs a new identity.
pub const MAX_ENROLMENTS: usize = 64;
/// How many members that were sent away are remembered: as many as one change of the engine's membership takes out.
const KEPT_DEPARTED: usize = 64;
/// Of how many identities, members and former ones, the statements are remembered.
const KEPT_IDENTITIES: usize = 256;

pub(crate) const RSA_KEY_RULE: &str = "an RSA public key is PKCS#1 DER with an odd modulus of 2,048 to 4,096 bits in whole \
                                       bytes and the exponent 65,537; its owner must make a new one";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Roster {
    pub(crate) members: BTreeMap<MemberId, Member>,
    pub(crate) tokens: BTreeMap<[u8; 16], Expiring<TokenRecord>>,
    /// Statements that have been used, by identity. They stand in the log for all to read, so each counts once:
    /// otherwise any member could repeat another's and have its id replaced, or bring a revoked one back.
    pub(crate) used_statements: BTreeMap<PeerKey, Vec<Digest>>,
    /// Since when members have not been heard by any leader: it outlasts the leaders.
    pub(crate) silent_since_ms: BTreeMap<MemberId, u64>,
    /// Who was sent away last. The engine may still need its voice to let it go, also after all have started anew.
    pub(crate) departed: VecDeque<Member>,
}

impl Roster {
    pub(crate) fn founded(founder: Member) -> Self {
        Self { members: BTreeMap::from([(founder.id, founder)]), ..Self::default() }
    }

    pub(crate) fn members(&self) -> &BTreeMap<MemberId, Member> {
        &self.members
    }

    pub(crate) fn tokens(&self) -> &BTreeMap<[u8; 16], Expiring<TokenRecord>> {
        &self.tokens
    }

    pub(crate) fn drop_tokens(&mut self) {
        self.tokens.clear();
    }

    pub(crate) fn member(&self, id: MemberId) -> Result<&Member, Rejection> {
        self.members.get(&id).ok_or(Rejection::UnknownMember)
    }

    pub(crate) fn by_key(&self, key: &PeerKey) -> Option<&Member> {
        self.members.values().find(|member| member.key == *key)
    }

    pub(crate) fn departed(&self) -> impl Iterator<Item = &Member> {
        self.departed.iter()
    }

    pub(crate) fn silent(&self) -> impl Iterator<Item = MemberId> {
        self.silent_since_ms.keys().copied()
    }

    pub(crate) fn silent_since_ms(&self, id: MemberId) -> Option<u64> {
        self.silent_since_ms.get(&id).copied()
    }

    pub(crate) fn create_token(&mut self, at: &Context, token: TokenRecord) -> Result<(), Rejection> {
        let expired = |token: &Expiring<TokenRecord>| token.has_expired(at.now_ms);
        if self.tokens.contains_key(&token.id) {
            return Err(Rejection::Duplicate);
        }
        ensure(token.id[..8] != [0; 8], "a token's id does not begin with eight zeros")?;
        ensure(within(token.uses, MAX_TOKEN_USES), "a token admits 1 to 1,000 newcomers")?;
        let expires_ms = expiry(at.now_ms, at.by_wall, token.ttl_ms)?;
        let live = self.tokens.values().filter(|token| !expired(token)).count();
        ensure(live < MAX_TOKENS, "256 tokens are open; let some expire first")?;

        self.tokens.retain(|_, token| !expired(token));
        self.tokens.insert(token.id, Expiring { record: token, expires_ms });
        Ok(())
    }

    /// Elapsed time begins at 0, and wall time was `wall_ms`. Whoever is silent counts as silent from here on: for how
    /// long it has been is only known by clocks that may have jumped.
    pub(crate) fn count_elapsed(&mut self, wall_ms: u64) {
        self.tokens.values_mut().for_each(|token| token.count_elapsed(wall_ms));
        self.silent_since_ms.values_mut().for_each(|since| *since = 0);
    }

    /// Admits a newcomer by its token, or gives a member that lost its log a new id. Returns the id it had.
    pub(crate) fn enrol(
        &mut self,
        at: &Context,
        set: SetId,
        max_members: u32,
        enrolment: Enrolment,
    ) -> Result<Option<MemberId>, Rejection> {
        let statement = &enrolment.statement;
        ensure(statement.set == set, "the statement is for another peer set or another epoch of it")?;
        check_addresses(&statement.addresses)?;
        check_rsa_key(at.by_wall, &statement.rsa_public)?;
        let replaced = enrolment.replaced();
        let bytes = match replaced {
            _ if at.by_wall => format_2::enrolment_statement(statement),
            Some(replaced) => statement.to_bytes_of_return(replaced),
            None => statement.to_bytes(),
        };
        if !statement.key.verify(&bytes, &enrolment.own_signature) {
            return Err(Rejection::BadSignature);
        }
        let (key, used) = (statement.key, Digest::of(&bytes));
        self.check_unused(&key, used)?;

        let known = self.by_key(&key).map(|member| member.id);
        // Nobody was named in format 2.
        let any = at.by_wall || planted(Mutation::AnyReturnReplaces);
        match (known, replaced) {
            (Some(id), Some(replaced)) if any || id == replaced => {
                self.replace(at, id, enrolment.statement)?
            }
            (Some(id), Some(_)) => return Err(Rejection::Renamed(id)),
            (Some(_), None) => return Err(Rejection::AlreadyMember),
            (None, Some(_)) => return Err(Rejection::UnknownMember),
            (None, None) => self.admit(at, max_members, enrolment, &bytes)?,
        }
        self.remember(key, used);
        Ok(known)
    }

    fn admit(
        &mut self,
        at: &Context,
        max_members: u32,
        enrolment: Enrolment,
        signed: &[u8],
    ) -> Result<(), Rejection> {
        let token = self.tokens.get(&enrolment.token).ok_or(Rejection::UnknownToken)?;
        if token.has_expired(at.now_ms) {
            return Err(Rejection::ExpiredToken);
        }
        let token = &token.record;
        if !token.public_key.verify(signed, &enrolment.token_signature) {
            return Err(Rejection::BadSignature);
        }
        if self.members.len() >= max_members as usize {
            return Err(Rejection::Full);
        }

        let (role, may_lead) = (token.role, token.may_lead);
        let EnrolmentStatement { key, rsa_public, addresses, .. } = enrolment.statement;
        let id = MemberId(at.index.0);
        let tenures = self.least_tenures();
        let member = Member { id, key, rsa_public, role, may_lead, addresses, seat: false, tenures };
        self.departed.retain(|departed| departed.key != key);
        self.members.insert(id, member);
        self.use_token(enrolment.token);
        Ok(())
    }

    /// What a newcomer starts from, so that it neither leads at once for long nor waits for long. Members that
    /// may not lead stay at 0 for ever and are left out.
    fn least_tenures(&self) -> u64 {
        self.members.values().filter(|member| member.may_lead).map(|member| member.tenures).min().unwrap_or(0)
    }

    fn use_token(&mut self, id: [u8; 16]) {
        if let Some(token) = self.tokens.get_mut(&id) {
            token.record.uses -= 1;
            if token.record.uses == 0 {
                self.tokens.remove(&id);
            }
        }
    }

    /// A member whose log is gone must never vote under its old id: it could vote twice in one term.
    fn replace(
        &mut self,
        at: &Context,
        old: MemberId,
        statement: EnrolmentStatement,
    ) -> Result<(), Rejection> {
        let enrolments = self.used_statements.get(&statement.key).map_or(0, Vec::len);
        ensure(
            enrolments < MAX_ENROLMENTS,
            "this identity has joined too often; it needs a new one and a token",
        )?;
        let gone = self.remove(old)?;
        let id = MemberId(at.index.0);
        let EnrolmentStatement { rsa_public, addresses, .. } = statement;
        self.members.insert(id, Member { id, rsa_public, addresses, seat: false, ..gone });
        Ok(())
    }

    fn check_unused(&self, key: &PeerKey, statement: Digest) -> Result<(), Rejection> {
        let used = self.used_statements.get(key).is_some_and(|used| used.contains(&statement));
        if used { Err(Rejection::Duplicate) } else { Ok(()) }
    }

    fn remember(&mut self, key: PeerKey, statement: Digest) {
        let used = self.used_statements.entry(key).or_default();
        if used.len() >= MAX_ENROLMENTS {
            used.remove(0);
        }
        used.push(statement);
        let former = self.used_statements.keys().find(|key| self.by_key(key).is_none()).copied();
        if let Some(former) = former.filter(|_| self.used_statements.len() > KEPT_IDENTITIES) {
            self.used_statements.remove(&former);
        }
    }

    /// Leaves the only seat to `survivor`. The others stay members: they come back under their identities.
    pub(crate) fn recover(&mut self, survivor: MemberId) {
        self.members.values_mut().for_each(|member| member.seat = member.id == survivor);
        self.silent_since_ms.clear();
    }

    /// Sends a member away as [`send_away`](Self::send_away) does, so that an odd number votes afterwards. The last one with
    /// a seat leaves it to a learner that is heard: laptops before devices, earlier members before later ones.
    pub(crate) fn send_away_in_pairs(
        &mut self,
        id: MemberId,
        leader: Option<MemberId>,
    ) -> Result<Member, Rejection> {
        let last = self.seats() == 1 && self.members.get(&id).is_some_and(|member| member.seat);
        let silent = &self.silent_since_ms;
        let fit = |one: &&mut Member| last && one.id != id && !silent.contains_key(&one.id);
        let heir = self.members.values_mut().filter(fit).min_by_key(|one| (one.role, one.id));
        heir.into_iter().for_each(|heir| heir.seat = true);
        let gone = self.send_away(id)?;
        if gone.seat {
            self.pair_seats(leader, None);
        }
        Ok(gone)
    }

    /// Sends a member away; the last one with a seat stays.
    pub(crate) fn send_away(&mut self, id: MemberId) -> Result<Member, Rejection> {
        let member = self.remove(id)?;
        if self.departed.len() >= KEPT_DEPARTED {
            self.departed.pop_front();
        }
        // Nothing is sealed for it any more.
        self.departed.push_back(Member { rsa_public: Vec::new(), ..member.clone() });
        Ok(member)
    }

    fn remove(&mut self, id: MemberId) -> Result<Member, Rejection> {
        let member = self.member(id)?;
        if member.seat && self.seats() == 1 {
            return Err(Rejection::LastVoter);
        }
        self.silent_since_ms.remove(&id);
        self.members.remove(&id).ok_or(Rejection::UnknownMember)
    }

    /// A voter has gone: another gets or loses a seat, so that an odd number votes. `back` is the one that has gone, if it
    /// is there again under this id, without its log.
    ///
    /// Of four or more that are left, a voter that nobody hears loses its seat, too, since it may be gone as well. Otherwise
    /// a learner that is heard gets a seat; where a single voter would be left, the one that is back does, without its
    /// log. Without any, a voter gives its seat up: silent ones first, devices before laptops, the leader last, later
    /// members before earlier ones.
    pub(crate) fn pair_seats(&mut self, leader: Option<MemberId>, back: Option<MemberId>) {
        if self.seats() % 2 == 1 || planted(Mutation::EvenSeats) {
            return;
        }
        let silent = |id: &MemberId| self.silent_since_ms.contains_key(id);
        let seated = || self.members.values().filter(|member| member.seat);
        let fit = |one: &&Member| !one.seat && !silent(&one.id) && Some(one.id) != back;
        let learner = self.members.values().filter(fit).min_by_key(|one| (one.role, one.id));
        let leads = |member: &&Member| Some(member.id) == leader;
        let last = seated().max_by_key(|one| (silent(&one.id), one.role, !leads(one), one.id));
        let two = self.seats() == 2;
        let (id, seat) = match (learner, back, last) {
            (_, _, Some(last)) if silent(&last.id) && !two => (last.id, false),
            (Some(learner), _, _) => (learner.id, true),
            (None, Some(back), _) if two => (back, true),
            (None, _, Some(last)) => (last.id, false),
            (None, _, None) => return,
        };
        if let Some(member) = self.members.get_mut(&id) {
            member.seat = seat;
        }
    }

    pub(crate) fn rotate_key(
        &mut self,
        at: &Context,
        id: MemberId,
        rsa_public: Vec<u8>,
    ) -> Result<(), Rejection> {
        let member = self.members.get_mut(&id).ok_or(Rejection::UnknownMember)?;
        check_rsa_key(at.by_wall, &rsa_public)?;
        member.rsa_public = rsa_public;
        Ok(())
    }

    pub(crate) fn change_addresses(
        &mut self,
        id: MemberId,
        addresses: Vec<SocketAddr>,
    ) -> Result<(), Rejection> {
        let member = self.members.get_mut(&id).ok_or(Rejection::UnknownMember)?;
        check_addresses(&addresses)?;
        member.addresses = addresses;
        Ok(())
    }

    pub(crate) fn change_seats(
        &mut self,
        at: &Context,
        give: &[MemberId],
        take: &[MemberId],
    ) -> Result<(), Rejection> {
        ensure(!give.is_empty() || !take.is_empty(), "no seat is given and none taken")?;
        let bounded = give.len().max(take.len()) <= MAX_SEATS_CHANGED;
        ensure(bounded, "at most 16 seats are given and 16 taken at a time")?;
        let named: BTreeSet<_> = give.iter().chain(take).collect();
        ensure(named.len() == give.len() + take.len(), "a member is named twice")?;
        for id in give {
            ensure(!self.member(*id)?.seat, "the member to give a seat has one")?;
        }
        for id in take {
            ensure(self.member(*id)?.seat, "the member to take a seat from has none")?;
        }
        let after = self.seats() + give.len() - take.len();
        if after == 0 {
            return Err(Rejection::LastVoter);
        }
        let odd = at.by_wall || after % 2 == 1;
        ensure(odd, "an odd number of members votes: give or take two seats at a time")?;

        for (ids, seat) in [(give, true), (take, false)] {
            for id in ids {
                if let Some(member) = self.members.get_mut(id) {
                    member.seat = seat;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn change_reachability(
        &mut self,
        at: &Context,
        id: MemberId,
        silent: bool,
    ) -> Result<(), Rejection> {
        self.member(id)?;
        ensure(self.silent_since_ms.contains_key(&id) != silent, "that is known of the member")?;
        if silent {
            self.silent_since_ms.insert(id, at.now_ms);
        } else {
            self.silent_since_ms.remove(&id);
        }
        Ok(())
    }

    pub(crate) fn count_tenure(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.tenures = member.tenures.saturating_add(1);
        }
    }

    pub(crate) fn seats(&self) -> usize {
        self.members.values().filter(|member| member.seat).count()
    }

    /// Whether what is remembered of used statements is within its bounds.
    pub(crate) fn memory_is_bounded(&self) -> bool {
        self.used_statements.len() <= KEPT_IDENTITIES
            && self.departed.len() <= KEPT_DEPARTED
            && self.departed.iter().all(|member| self.by_key(&member.key).is_none())
            && self.silent_since_ms.keys().all(|id| self.members.contains_key(id))
            && self.used_statements.values().all(|used| used.len() <= MAX_ENROLMENTS)
    }
}

pub(crate) fn check_signature(
    member: &Member,
    statement: &[u8],
    signature: &Signature,
) -> Result<(), Rejection> {
    if member.key.verify(statement, signature) { Ok(()) } else { Err(Rejection::BadSignature) }
}

/// Whether a key can be sealed to. Entries of format 2 brought in others, too, which stay where they are.
pub(crate) fn check_rsa_key(by_wall: bool, key: &[u8]) -> Result<(), Rejection> {
    if by_wall || planted(Mutation::KeysNotParsed) {
        return ensure(is_as_long_as_a_key(key), "an RSA public key takes 1 to 600 bytes");
    }
    ensure(is_rsa_public(key), RSA_KEY_RULE)
}

pub(crate) fn is_as_long_as_a_key(key: &[u8]) -> bool {
    within(key.len(), MAX_RSA_KEY_LEN)
}

pub(crate) fn check_addresses(addresses: &[SocketAddr]) -> Result<(), Rejection> {
    ensure(within(addresses.len(), MAX_ADDRESSES), "a member has 1 to 8 addresses")
}

/// Whether a count is at least 1 and at most `most`.
pub(crate) fn within<T: PartialOrd + From<u8>>(count: T, most: T) -> bool {
    T::from(1) <= count && count <= most
}

/// Turns a broken rule into the words for whoever broke it.
pub(crate) fn ensure(holds: bool, rule: &str) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(Rejection::Invalid(rule.to_string())) }
}
