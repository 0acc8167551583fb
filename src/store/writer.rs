//! The one writer. Whatever operations are waiting go into one transaction and are answered once it is
//! on disk; while it is being synced, the next ones gather. No timer, no reordering.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use super::Shared;
use super::error::Error;
use super::live::Live;
use super::state::State;
use super::tx::{Tx, Written};

/// So many operations go into one transaction at most: enough to spread the cost of two syncs, few
/// enough that the first of them does not wait long.
const MAX_BATCH: usize = 256;

/// So many operations may wait. Beyond it callers wait to get in line.
const QUEUE: usize = 1024;

/// One operation on its way through the writer.
pub(super) trait Job: Send {
    /// Does the work inside a transaction. May be called again in a new transaction when another
    /// operation of the batch failed and the first one was given up.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Error>;
    /// Answers the caller, after the commit or the failure.
    fn settle(self: Box<Self>, verdict: Result<(), Error>);
    /// When the caller asked.
    fn since(&self) -> Instant;
}

/// An operation as a closure, with the caller waiting for what it returns.
struct Task<T, F> {
    work: F,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, Error>>,
    since: Instant,
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> Result<T, Error> + Send> Job for Task<T, F> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Error> {
        self.result = Some((self.work)(tx)?);
        Ok(())
    }

    fn settle(self: Box<Self>, verdict: Result<(), Error>) {
        let Self { result, reply, .. } = *self;
        // A caller that hung up no longer waits; the work is done all the same.
        let _ = reply.send(verdict.and_then(|()| result.ok_or(Error::Failed)));
    }

    fn since(&self) -> Instant {
        self.since
    }
}

/// Where operations are handed in.
#[derive(Clone)]
pub(super) struct Queue(mpsc::Sender<Message>);

enum Message {
    Job(Box<dyn Job>),
    Between(Box<dyn FnOnce(&mut Writer) + Send>),
    Stop,
}

impl Queue {
    /// Runs `work` in a transaction and returns what it returned, once that is on disk.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task { work, result: None, reply, since: Instant::now() });
        self.0.send(Message::Job(job)).await.map_err(|_| Error::Failed)?;
        answer.await.unwrap_or(Err(Error::Failed))
    }

    /// Runs `work` between two transactions, while all that comes later waits, and returns what it returned. It can
    /// ask whether the caller still waits for it.
    pub(super) async fn between<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer, &dyn Fn() -> bool) -> T + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = move |writer: &mut Writer| {
            let result = work(writer, &|| !reply.is_closed());
            let _ = reply.send(result);
        };
        self.0.send(Message::Between(Box::new(work))).await.map_err(|_| Error::Failed)?;
        answer.await.map_err(|_| Error::Failed)
    }

    /// How many operations are in line.
    pub(super) fn waiting(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }

    /// Lets the writer finish what is in line before this call, and then end.
    pub(super) async fn stop(&self) {
        let _ = self.0.send(Message::Stop).await;
    }
}

/// The writer's own side.
pub(super) struct Writer {
    pub(super) live: Arc<Live>,
    pub(super) state: State,
    shared: Arc<Shared>,
    pub(super) failed: watch::Sender<bool>,
}

impl Writer {
    /// Starts the writer's thread.
    pub(super) fn start(
        live: Arc<Live>,
        state: State,
        shared: Arc<Shared>,
        failed: watch::Sender<bool>,
    ) -> std::io::Result<(Queue, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Self { live, state, shared, failed };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(|| writer.run(receiver))?;
        Ok((Queue(sender), thread))
    }

    fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut stopping = false;
        while !stopping {
            let mut batch: Vec<Box<dyn Job>> = Vec::new();
            let mut between = None;
            let mut next = queue.blocking_recv();
            loop {
                match next {
                    Some(Message::Job(job)) => batch.push(job),
                    Some(Message::Between(work)) => between = Some(work),
                    Some(Message::Stop) | None => stopping = true,
                }
                if stopping || between.is_some() || batch.len() == MAX_BATCH {
                    break;
                }
                match queue.try_recv() {
                    Ok(message) => next = Some(message),
                    Err(_) => break,
                }
            }
            self.commit(batch);
            if let Some(work) = between {
                work(&mut self);
            }
        }
    }

    /// Runs `work` in a transaction of its own, from work that has the writer to itself.
    pub(super) fn run_alone<T, F>(&mut self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (reply, mut answer) = oneshot::channel();
        self.commit(vec![Box::new(Task { work, result: None, reply, since: Instant::now() })]);
        answer.try_recv().unwrap_or(Err(Error::Failed))
    }

    /// Commits a batch and answers everybody in it.
    fn commit(&mut self, mut batch: Vec<Box<dyn Job>>) {
        if batch.is_empty() {
            return;
        }
        let began = Instant::now();
        let outcome = if *self.failed.borrow() {
            Err(Error::Failed)
        } else {
            // Of some damage redb does not return an error but panics; without this thread nobody would be told.
            catch_unwind(AssertUnwindSafe(|| self.write(&mut batch))).unwrap_or(Err(Error::Panicked))
        };
        match outcome {
            Ok(written) => {
                self.shared.publish(self.state.stats(), batch.len(), began.elapsed());
                for job in batch {
                    job.settle(Ok(()));
                }
                for Written { seq, leaf, since } in &written {
                    crate::log::entry(leaf, *seq, Some(since.elapsed()));
                }
            }
            Err(error) => {
                if !matches!(error, Error::Failed) {
                    // After a failed sync nobody can know what is on disk: stop, and let a restart find out.
                    tracing::error!(cause = %error, "store.failed");
                }
                self.failed.send_replace(true);
                for job in batch {
                    job.settle(Err(Error::Failed));
                }
            }
        }
    }

    /// Runs the batch in one transaction. An operation that fails by itself is answered and left out,
    /// and the rest starts again in a new transaction, so that it touches nobody else.
    fn write(&mut self, batch: &mut Vec<Box<dyn Job>>) -> Result<Vec<Written>, Error> {
        loop {
            let mut state = self.state.clone();
            let db = self.live.db();
            let mut txn = db.begin_write()?;
            // Values are partly in the hands of strangers: recovery must not rest on a hash that can be forged.
            txn.set_two_phase_commit(true);
            // Keeps the start after a crash at a millisecond, whatever the size of the file.
            txn.set_quick_repair(true);
            let ran = {
                let mut tx = Tx::open(&txn, &mut state)?;
                match run_all(batch, &mut tx) {
                    Ok(()) => tx.finish().map(Ok)?,
                    Err(failed) => Err(failed),
                }
            };
            match ran {
                Ok(written) => {
                    txn.commit()?;
                    self.state = state;
                    return Ok(written);
                }
                Err((_, error)) if error.is_fatal() => return Err(error),
                Err((place, error)) => {
                    txn.abort()?;
                    tracing::error!(cause = %error, "store.operation_failed");
                    batch.remove(place).settle(Err(error));
                }
            }
        }
    }
}

/// Runs every operation in order; stops at the first that fails, and says which.
fn run_all(batch: &mut [Box<dyn Job>], tx: &mut Tx<'_>) -> Result<(), (usize, Error)> {
    for (place, job) in batch.iter_mut().enumerate() {
        tx.since = job.since();
        match catch_unwind(AssertUnwindSafe(|| job.run(tx))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err((place, error)),
            Err(_) => return Err((place, Error::Panicked)),
        }
    }
    Ok(())
}
