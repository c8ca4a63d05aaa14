//! The heavy work: what the node orders and threads carry out.
//!
//! Three threads, so that none waits for another: one seals, opens and combines, in order; one trains, with low
//! priority; one makes keys ahead, with low priority. Each has a bounded queue. They decide nothing: an order says
//! all, and what went wrong is reported in words.

mod combine;
mod context;
mod envelope;
mod keys;
mod model;
mod train;

pub(crate) use context::WorkerContext;
pub(crate) use keys::TenureKeys;
pub use model::CURRENT_MODEL;

use keys::make_tenure_key;

use crate::envelopes::Spooled;
use crate::trainer::Trainer;
use envelope::SealFailure;
use rafty_node::TenureKey;
use rafty_rounds::{Work, WorkId, WorkResult};
use rafty_types::PeerKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

/// How many orders may wait for one thread; the round machines never have more under way than members.
const QUEUE: usize = 256;
/// How much nicer than the member's own threads training and key making are.
const NICENESS: i32 = 10;

/// An order with what the node's state adds to it.
pub(crate) struct Order {
    pub(crate) id: WorkId,
    pub(crate) work: Work,
    /// The envelope that the work is about.
    pub(crate) envelope: Option<Arc<Spooled>>,
    /// The identity key of the envelope's sender as the roster has it.
    pub(crate) sender_key: Option<PeerKey>,
}

/// What a thread reports.
pub(crate) enum Report {
    /// An order was carried out.
    Done(WorkId, WorkResult),
    /// An envelope was sealed; it needs a name.
    Sealed(WorkId, Arc<Spooled>),
    /// A tenure key was made; its private half is with the workers.
    TenureKey(TenureKey),
}

/// The threads.
pub(crate) struct Workers {
    heavy: SyncSender<Order>,
    train: SyncSender<Order>,
    keys: SyncSender<()>,
    /// The training that was stopped last; orders are numbered from 1.
    stopped: Arc<AtomicU64>,
}

impl Workers {
    /// Starts the threads. `report` is called on them.
    pub(crate) fn start(
        context: Arc<WorkerContext>,
        trainer: Option<Box<dyn Trainer>>,
        report: impl Fn(Report) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let (heavy, orders) = sync_channel::<Order>(QUEUE);
        let (say, at) = (report.clone(), context.clone());
        spawn("rafty-heavy", move || work(&orders, |order| say(perform_heavy(&at, order))))?;

        let (train, orders) = sync_channel::<Order>(QUEUE);
        let (say, at, mut trainer) = (report.clone(), context.clone(), trainer);
        let stopped = Arc::new(AtomicU64::new(0));
        let stop = stopped.clone();
        spawn("rafty-train", move || {
            be_nice();
            work(&orders, |order| {
                let until = train::Until { order: order.id, stopped: &stop };
                let trainer = trainer.as_deref_mut();
                let result = match order.work {
                    Work::LookAgain { cause, base } => train::look_again(&at, trainer, cause, base),
                    work => train::train(&at, trainer, &work, &until),
                };
                say(Report::Done(order.id, result));
            });
        })?;

        let (keys, orders) = sync_channel::<()>(1);
        spawn("rafty-keys", move || {
            // A leader may be waiting for the first key; later ones are made ahead.
            let mut ahead = false;
            work(&orders, |()| {
                report(Report::TenureKey(make_tenure_key(&context)));
                if !std::mem::replace(&mut ahead, true) {
                    be_nice();
                }
            });
        })?;
        Ok(Self { heavy, train, keys, stopped })
    }

    /// Hands an order over. What is done at once comes back; so does, as failed, an order whose thread's queue is full.
    pub(crate) fn order(&self, order: Order) -> Result<(), Report> {
        let id = order.id;
        if let Work::StopTraining { order } = order.work {
            self.stopped.store(order.0, Ordering::Relaxed);
            return Err(Report::Done(id, WorkResult::Done));
        }
        let trains = matches!(order.work, Work::Train { .. } | Work::LookAgain { .. });
        let queue = if trains { &self.train } else { &self.heavy };
        queue.try_send(order).map_err(|error| {
            let why = match error {
                TrySendError::Full(_) => "too much work waits",
                TrySendError::Disconnected(_) => "the worker thread has ended",
            };
            Report::Done(id, WorkResult::Failed(why.into()))
        })
    }

    /// Orders a tenure key. One is made at a time; asking again while one is made does nothing.
    pub(crate) fn make_tenure_key(&self) {
        // A full queue means that one is on its way.
        let _ = self.keys.try_send(());
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(body).map(drop)
}

fn work<T>(orders: &Receiver<T>, mut perform: impl FnMut(T)) {
    while let Ok(order) = orders.recv() {
        perform(order);
    }
}

/// Lowers this thread's priority. Not getting it is no reason not to work.
pub(crate) fn be_nice() {
    let _ = rustix::process::nice(NICENESS);
}

fn perform_heavy(context: &WorkerContext, order: Order) -> Report {
    let Order { id, work, envelope, sender_key } = order;
    let opened = envelope.zip(sender_key);
    let result = match work {
        Work::SealUpdate { update, label, to, rsa_public } => {
            return sealed(id, envelope::seal(context, &context.updates, update, label, &[(to, rsa_public)]));
        }
        Work::SealModel { model, label, recipients } => {
            return sealed(id, envelope::seal(context, &context.models, model, label, &recipients));
        }
        Work::OpenUpdate { label, base, .. } => combine::open_update(context, opened, &label, base),
        Work::OpenModel { label, spec, base, .. } => {
            envelope::open_model(context, opened, &label, &spec, base)
        }
        Work::Combine { key, spec } => combine::combine(context, key, &spec),
        Work::ForgetAttempt { key } => combine::forget(context, key),
        Work::DeriveInitial { spec, .. } => model::derive_initial(context, &spec),
        Work::Adopt { run, version, model } => model::adopt(context, run, version, model),
        Work::DropModels { models } => model::drop_models(context, &models),
        Work::DropUpdate { update } => model::drop_update(context, update),
        Work::Train { .. } | Work::LookAgain { .. } | Work::StopTraining { .. } => {
            WorkResult::Failed("training has a thread of its own".into())
        }
    };
    Report::Done(id, result)
}

fn sealed(id: WorkId, envelope: Result<Arc<Spooled>, SealFailure>) -> Report {
    match envelope {
        Ok(envelope) => Report::Sealed(id, envelope),
        Err(SealFailure::Gone) => Report::Done(id, WorkResult::Gone),
        Err(SealFailure::Other(why)) => Report::Done(id, WorkResult::Failed(why)),
    }
}
