//! How unkind the world is at the moment: spans in milliseconds, chances in percent or thousandths.

use crate::rng::SimRng;

/// What everything takes, and how often it goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct FaultRates {
    /// One way through the network.
    pub latency: (u64, u64),
    /// A sync.
    pub sync: (u64, u64),
    /// Heavy work: sealing, opening, combining.
    pub work: (u64, u64),
    /// Training.
    pub train: (u64, u64),
    /// Making an RSA key.
    pub key: (u64, u64),
    /// Bytes of a model, an update or an envelope.
    pub model_len: u64,
    /// Bytes a link takes in a millisecond.
    pub bandwidth: u64,
    /// Datagrams lost, in thousandths.
    pub drop: u64,
    /// Datagrams that come twice, in thousandths.
    pub duplicate: u64,
    /// Datagrams that others overtake, in thousandths.
    pub reorder: u64,
    /// Streams that break, in thousandths.
    pub reset: u64,
    /// Heavy work that fails, in percent.
    pub fail_work: u64,
    /// How often a member's loop is busy when something happens, in percent: it takes it in a little later, with all
    /// that came since.
    pub busy: u64,
}

/// A good network between good devices.
pub const FAIR: FaultRates = FaultRates {
    latency: (1, 3),
    sync: (1, 5),
    work: (5, 40),
    train: (200, 2_000),
    key: (100, 300),
    model_len: 20_000,
    bandwidth: 10_000,
    drop: 0,
    duplicate: 0,
    reorder: 0,
    reset: 0,
    fail_work: 0,
    busy: 5,
};

impl FaultRates {
    /// High rates. Each evil is there only sometimes, so that every mixture comes up.
    pub fn foul(rng: &mut SimRng) -> Self {
        let mut span = |chance: u64, most: u64, fair: (u64, u64)| {
            if rng.percent(chance) { (0, 1 + rng.below(most)) } else { fair }
        };
        let latency = span(50, 60, FAIR.latency);
        let sync = span(40, 120, FAIR.sync);
        let work = span(40, 600, FAIR.work);
        let train = span(60, 4_000, FAIR.train);
        let key = span(40, 3_000, FAIR.key);
        let mut rate = |chance: u64, most: u64| if rng.percent(chance) { rng.below(most) } else { 0 };
        Self {
            drop: rate(60, 200),
            duplicate: rate(40, 100),
            reorder: rate(40, 200),
            reset: rate(40, 100),
            fail_work: rate(30, 15),
            busy: rate(60, 30),
            model_len: 1_000 + rate(50, 4_000_000),
            bandwidth: 500 + rate(70, 20_000),
            latency,
            sync,
            work,
            train,
            key,
        }
    }
}
