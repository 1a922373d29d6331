//! Word between nodes: LISTEN on a connection of its own, straight to the server (a pooler in
//! transaction mode passes none on).
//!
//! - In: `dacapo_arrivals` (endpoints' ids, or nothing for "look at everything"), `dacapo_catalog` (its
//!   version), `dacapo_replays` (the revision of one that was changed), `dacapo_shards` (some are free),
//!   `dacapo_fan_outs` (one is to be continued), `dacapo_meta_events` (some are to be sent).
//! - Out: [`Arrival`]s to dispatch, the catalog's version to its readers, a round of the lease.
//! - Promise: word hurries, it decides nothing. After a break, and every [`NET_EVERY`] in any case,
//!   everything is looked at.
//! - Failure: reconnects for ever.

use super::Inner;
use super::address::Address;
use super::lease::Tenure;
use super::session::{Sql, Step};
use crate::roles::{ARRIVALS_QUEUED_MAX, Arrival, Arrivals};
use crate::{Result, StoreError};
use dacapo_model::{Id, Shard};
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Notification};

/// The slow poll under the words.
const NET_EVERY: Duration = Duration::from_secs(30);
/// Between two tries to connect.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A listening connection has nothing to say for hours; this often it is asked for a sign of life.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(5);
/// One that comes later is none.
const SIGN_OF_LIFE_WITHIN: Duration = Duration::from_secs(5);
/// PostgreSQL takes payloads below 8,000 bytes; an id has 26 characters.
pub const NAMED_MAX: usize = 300;
const ID_CHARS: usize = 26;
/// Ahead of the others: what came is live. No endpoint has it, so nodes that do not know of this look for it in vain.
const LIVE_ONLY: Id = Id::MIN;

static NOTIFY: Sql = Sql { text: "SELECT pg_notify('dacapo_arrivals', $1)", types: &[Type::TEXT] };

/// A transaction of its own, which need not outlast a crash; its commit waits for those of others that speak.
static SPEAK: Sql = Sql {
    text: "SELECT set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '8000', true), \
           pg_notify('dacapo_arrivals', $1)",
    types: &[Type::TEXT],
};
static SPEAK_OF_META_EVENTS: Sql = Sql {
    text: "SELECT set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '8000', true), \
           pg_notify('dacapo_meta_events', '')",
    types: &[],
};
static NOTIFY_FAN_OUTS: Sql = Sql { text: "SELECT pg_notify('dacapo_fan_outs', '')", types: &[] };

/// Those whose owner this node is not.
pub fn others(lease: &Tenure, endpoints: BTreeSet<Id>) -> impl Iterator<Item = Id> {
    endpoints.into_iter().filter(|id| !lease.owns(Shard::of(*id)))
}

/// What to tell about these endpoints: nothing of those whose owner this node is.
pub fn notice(lease: &Tenure, endpoints: BTreeSet<Id>) -> Option<String> {
    notice_of(&others(lease, endpoints).collect())
}

/// Of more than can be named: that there is something.
pub fn notice_of(others: &BTreeSet<Id>) -> Option<String> {
    match others.len() {
        0 => None,
        1..=NAMED_MAX => Some(others.iter().map(ToString::to_string).collect()),
        _ => Some(String::new()),
    }
}

/// Goes out with the transaction's commit.
pub fn notify_arrivals(notice: &String) -> Step<'_> {
    Step::Known(&NOTIFY, vec![notice])
}

/// Of live events, by itself; see [`notice_of`].
pub fn speak_of_live(notice: &mut String) -> Step<'_> {
    if !notice.is_empty() {
        notice.insert_str(0, &LIVE_ONLY.to_string());
    }
    Step::Known(&SPEAK, vec![notice])
}

/// By itself, as word of live events.
pub fn speak_of_meta_events() -> Step<'static> {
    Step::Known(&SPEAK_OF_META_EVENTS, Vec::new())
}

/// Goes out with the transaction's commit.
pub fn notify_fan_outs() -> Step<'static> {
    Step::Known(&NOTIFY_FAN_OUTS, Vec::new())
}

/// The speaking end of [`Arrivals`].
#[derive(Default)]
pub struct Announcer(Mutex<Option<Ear>>);

struct Ear {
    channel: mpsc::Sender<Arrival>,
    /// Word found no place: the next that does is "look at everything".
    missed: bool,
}

impl Announcer {
    pub fn listen(&self) -> Arrivals {
        let (channel, heard) = mpsc::channel(ARRIVALS_QUEUED_MAX);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ear { channel, missed: false });
        Arrivals::of(heard)
    }

    pub fn say(&self, arrival: Arrival) {
        let mut ear = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ear) = ear.as_mut() else { return };
        let arrival = if ear.missed { Arrival::All } else { arrival };
        ear.missed = ear.channel.try_send(arrival).is_err();
    }

    /// What found no place before, if there is place now.
    fn catch_up(&self) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|ear| ear.missed) {
            self.say(Arrival::All);
        }
    }
}

/// Until the process ends.
pub async fn keep(inner: Arc<Inner>, address: Address) {
    loop {
        if let Err(cause) = listen(&inner, &address).await {
            tracing::warn!(%cause, "not listening to other nodes; trying again");
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn listen(inner: &Inner, address: &Address) -> Result<()> {
    let (client, mut connection) = address.config.connect(address.tls.clone()).await?;
    let (said, mut words) = mpsc::channel(ARRIVALS_QUEUED_MAX);
    // The connection must be driven while the client waits for an answer.
    let drive = async move {
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(word))) => {
                    // Full: the reader is behind, and waits for nothing but us.
                    if said.send(word).await.is_err() {
                        return Ok(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(cause)) => return Err(cause.into()),
                None => return Ok(()),
            }
        }
    };
    let hear = async {
        let channels = "LISTEN dacapo_arrivals; LISTEN dacapo_catalog; LISTEN dacapo_shards; LISTEN dacapo_replays; \
             LISTEN dacapo_fan_outs; LISTEN dacapo_meta_events";
        client.batch_execute(channels).await?;
        look_at_everything(inner);
        let mut net = tokio::time::interval(NET_EVERY);
        let mut life = tokio::time::interval(SIGN_OF_LIFE_EVERY);
        net.tick().await;
        loop {
            tokio::select! {
                word = words.recv() => match word {
                    Some(word) => heed(inner, &word),
                    None => return Ok(()),
                },
                _ = net.tick() => look_at_everything(inner),
                _ = life.tick() => {
                    inner.arrivals.catch_up();
                    let answer = timeout(SIGN_OF_LIFE_WITHIN, client.batch_execute(""));
                    // A line that passes nothing on looks like one on which nobody speaks.
                    let answered = heeding(&mut words, |word| heed(inner, word), answer).await;
                    answered.map_err(|_| StoreError::Unavailable("no sign of life came back".to_owned()))??;
                }
            }
        }
    };
    tokio::select! {
        end = drive => end,
        end = hear => end,
    }
}

/// The answer, which comes behind words that fill their channel while nobody heeds them.
async fn heeding<W, T>(words: &mut mpsc::Receiver<W>, mut heed: impl FnMut(&W), answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            Some(word) = words.recv() => heed(&word),
        }
    }
}

fn look_at_everything(inner: &Inner) {
    inner.arrivals.say(Arrival::All);
    inner.lease.hurry.notify_one();
    inner.tell_of_meta_events();
}

fn heed(inner: &Inner, word: &Notification) {
    match word.channel() {
        "dacapo_arrivals" => {
            if let Some(arrival) = arrival(&inner.lease, word.payload()) {
                inner.arrivals.say(arrival);
            }
        }
        "dacapo_catalog" => {
            if let Ok(version) = word.payload().parse() {
                inner.tell_newer(version);
            }
        }
        "dacapo_replays" => {
            if let Ok(revision) = word.payload().parse() {
                inner.tell_newer_replays(revision);
            }
        }
        "dacapo_fan_outs" => inner.arrivals.say(Arrival::FanOuts),
        "dacapo_meta_events" => inner.tell_of_meta_events(),
        "dacapo_shards" => inner.lease.hurry.notify_one(),
        _ => {}
    }
}

/// `None`: none of them is this node's. A payload that does not read stands for everything.
fn arrival(lease: &Tenure, payload: &str) -> Option<Arrival> {
    if payload.is_empty() || !payload.is_ascii() {
        return Some(Arrival::All);
    }
    let (mut endpoints, mut is_live) = (Vec::new(), false);
    for chunk in payload.as_bytes().chunks(ID_CHARS) {
        match std::str::from_utf8(chunk).unwrap_or_default().parse::<Id>() {
            Ok(LIVE_ONLY) => is_live = true,
            Ok(endpoint) if lease.owns(Shard::of(endpoint)) => endpoints.push(endpoint),
            Ok(_) => {}
            Err(_) => return Some(Arrival::All),
        }
    }
    let arrival = if is_live { Arrival::Live } else { Arrival::Endpoints };
    (!endpoints.is_empty()).then(|| arrival(endpoints))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    /// A node that stood still finds thousands of words before it.
    #[tokio::test]
    async fn a_sign_of_life_comes_through_behind_more_words_than_are_queued() {
        let (said, mut words) = mpsc::channel(2);
        let (answers, answer) = oneshot::channel();
        let mut heard = Vec::new();
        let line = async {
            for word in 0..10 {
                said.send(word).await.expect("somebody listens");
            }
            answers.send(()).expect("somebody waits");
        };
        let (_, answer) = tokio::join!(line, heeding(&mut words, |word| heard.push(*word), answer));
        answer.expect("it is answered");
        heard.extend(std::iter::from_fn(|| words.try_recv().ok()));
        assert_eq!(heard, Vec::from_iter(0..10));
    }
}
