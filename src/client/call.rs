//! One call with its attempts: the only loop of the client.

use crate::address::NodeUrl;
use crate::client::action::Action;
use crate::client::classify::{classify, named_leader};
use crate::client::error::{Error, Failure};
use crate::client::nodes::Nodes;
use crate::client::retry::{self, CallKind, Next, Route};
use crate::reason::Outcome;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// An attempt of a read gets at least this much time before another node is asked.
const READ_TRY_MIN: Duration = Duration::from_millis(250);

/// With less time left than this no attempt is started: it could only end in a timeout that says nothing.
const TRY_MIN: Duration = Duration::from_millis(50);

/// How often all nodes are asked one right after the other.
const ROUNDS_AT_ONCE: u32 = 2;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a call may take, all attempts together.
    pub timeout: Duration,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// The most attempts of a call. Usually its time alone decides.
    pub attempts: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), connect_timeout: Duration::from_secs(1), attempts: u32::MAX }
    }
}

/// The way into a cluster. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) nodes: Arc<Nodes>,
    pub(super) options: Options,
}

/// What the loop needs to know of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallSpec {
    pub(super) action: Action,
    pub(super) kind: CallKind,
    /// How long the server may work on it, if that is not the time for the answer: for streams.
    pub(super) deadline: Option<Duration>,
}

impl CallSpec {
    pub(super) const fn read(action: Action) -> Self {
        Self { action, kind: CallKind::Read, deadline: None }
    }

    pub(super) const fn write(action: Action) -> Self {
        Self { action, kind: CallKind::Write, deadline: None }
    }

    pub(super) const fn stream(action: Action, deadline: Duration) -> Self {
        Self { action, kind: CallKind::Read, deadline: Some(deadline) }
    }
}

/// An answer and how it was obtained.
#[derive(Debug)]
pub(super) struct Called<A> {
    pub(super) answer: A,
    pub(super) endpoint: NodeUrl,
    pub(super) attempts: u32,
    pub(super) latency: Duration,
}

impl<A> Called<A> {
    /// What is wrong with the answer, as the call's error.
    pub(super) fn error(&self, call: CallSpec, failure: Failure) -> Error {
        Error {
            action: call.action,
            endpoint: Some(self.endpoint.clone()),
            attempts: self.attempts,
            elapsed: self.latency,
            failure: Box::new(failure),
            write: call.kind == CallKind::Write,
            unreachable: Vec::new(),
        }
    }
}

impl Client {
    /// A client of the nodes at `endpoints` (`http://host:port`; scheme and port may be left out). Connects only
    /// when a call is made; fails only if an endpoint is not valid.
    pub fn connect<S: AsRef<str>>(endpoints: &[S], options: Options) -> Result<Self, Error> {
        let mut urls = Vec::new();
        for endpoint in endpoints {
            let text = endpoint.as_ref().trim();
            let url = NodeUrl::parse_endpoint(text).map_err(|message| {
                let mut error = Error::usage(Action::Connect, message.clone());
                if text.starts_with("https://") {
                    error.failure = Box::new(Failure::Tls(message));
                }
                error
            })?;
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        if urls.is_empty() {
            return Err(Error::usage(
                Action::Connect,
                "no endpoint is given; name one, as in http://127.0.0.1:2379",
            ));
        }
        let connect_timeout = options.connect_timeout.min(options.timeout);
        Ok(Self { nodes: Arc::new(Nodes::new(urls, connect_timeout)), options })
    }

    /// The nodes that this client was given.
    pub fn endpoints(&self) -> &[NodeUrl] {
        self.nodes.endpoints()
    }

    /// How this client behaves.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// A client of a single node, with its own connection: its calls never go elsewhere.
    pub fn only(&self, node: &NodeUrl) -> Self {
        let connect_timeout = self.options.connect_timeout.min(self.options.timeout);
        Self {
            nodes: Arc::new(Nodes::new(vec![node.clone()], connect_timeout)),
            options: self.options.clone(),
        }
    }

    /// Makes a call, on one node after the other as the rules allow.
    pub(super) async fn call<Q, A, F>(
        &self,
        call: CallSpec,
        request: Q,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<Called<A>, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let started = Instant::now();
        let deadline = started + self.options.timeout;
        let mut route = Route::new(self.nodes.endpoints(), self.nodes.preferred());
        let mut attempts = 0;
        let mut said = None;
        loop {
            attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let found = self.find(call, &mut route, left).await;
            let node = route.node().clone();
            let failure = match found {
                Ok(()) => {
                    let budget = self.budget(call, &route, deadline);
                    match self.attempt(call, &node, request.clone(), budget, &send).await {
                        Ok(answer) => {
                            return Ok(Called {
                                answer,
                                endpoint: node,
                                attempts,
                                latency: started.elapsed(),
                            });
                        }
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            let nobody = route.note(&failure);
            let next = if nobody { Next::GiveUp } else { retry::decide(call.kind, &failure) };
            if next != Next::GiveUp || !matches!(failure, Failure::Refused(_)) {
                self.nodes.avoid(&node);
            }
            if nobody {
                // An earlier refusal is outdated once no node can be reached any more.
                said = None;
            }
            let is_redirect = matches!(next, Next::Leader(_));
            match self.turn(&mut route, next, attempts) {
                Some(wait)
                    if attempts < self.options.attempts && Instant::now() + wait + TRY_MIN <= deadline =>
                {
                    if matches!(failure, Failure::Refused(_)) && !is_redirect {
                        said = Some((node, failure));
                    }
                    tokio::time::sleep(wait).await;
                }
                _ => {
                    let last = telling(call, (node, failure), said);
                    return Err(failed(call, last, attempts, started.elapsed(), route));
                }
            }
        }
    }

    /// Turns the route to the node to ask next. Returns how long to wait before that; `None` means to give up.
    fn turn(&self, route: &mut Route, next: Next, attempts: u32) -> Option<Duration> {
        match next {
            Next::GiveUp => None,
            Next::Elsewhere if route.has_others() => {
                route.advance();
                // After a round or two it is not the node.
                let is_early = attempts < ROUNDS_AT_ONCE * route.len();
                Some(if is_early { Duration::ZERO } else { retry::pause(attempts, Duration::ZERO) })
            }
            Next::Elsewhere => Some(retry::pause(attempts, Duration::ZERO)),
            Next::Leader(leader) => {
                let news = route.turn_to(leader);
                // Two nodes that name each other must not be asked in a tight circle.
                Some(if news && attempts <= 2 {
                    Duration::ZERO
                } else {
                    retry::pause(attempts, Duration::ZERO)
                })
            }
            Next::Later(at_least) => {
                route.advance();
                Some(retry::pause(attempts, at_least))
            }
        }
    }

    /// How long the next attempt may take: for a write all that is left, since it cannot be repeated
    /// elsewhere; for a read half of it while there are other nodes.
    fn budget(&self, call: CallSpec, route: &Route, deadline: Instant) -> Duration {
        let left = deadline.saturating_duration_since(Instant::now());
        match call.kind {
            CallKind::Read if route.has_others() => left.min((left / 2).max(READ_TRY_MIN)),
            _ => left,
        }
    }

    async fn attempt<Q, A, F>(
        &self,
        call: CallSpec,
        node: &NodeUrl,
        request: Q,
        budget: Duration,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, Failure>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let channel = self.nodes.channel(node)?;
        if call.kind == CallKind::Write && budget < TRY_MIN.min(self.options.timeout / 2) {
            // It was only greeted: sent now, the write could only end in doubt.
            return Err(Failure::Timeout { after: budget, outcome: Outcome::NotApplied });
        }
        let mut request = Request::new(request);
        request.set_timeout(call.deadline.unwrap_or(budget));
        match tokio::time::timeout(budget, send(channel, request)).await {
            Ok(Ok(response)) => {
                self.nodes.heard(node);
                let leader = named_leader(response.metadata());
                // Only a node that the caller named is known to be reachable.
                let leader = leader.filter(|leader| self.nodes.endpoints().contains(leader));
                self.nodes.prefer(leader.as_ref().unwrap_or(node));
                Ok(response.into_inner())
            }
            Ok(Err(status)) => Err(classify(&status, budget)),
            Err(_) => Err(Failure::Timeout { after: budget, outcome: Outcome::Unknown }),
        }
    }
}

/// Which failure tells more: a last attempt that nobody answered, or what a server `said` to an earlier one.
/// A write of unknown outcome comes before everything else.
fn telling(call: CallSpec, last: (NodeUrl, Failure), said: Option<(NodeUrl, Failure)>) -> (NodeUrl, Failure) {
    let in_doubt = call.kind == CallKind::Write && last.1.outcome() == Outcome::Unknown;
    match said {
        Some(said) if !in_doubt && !matches!(last.1, Failure::Refused(_)) => said,
        _ => last,
    }
}

fn failed(
    call: CallSpec,
    (node, mut failure): (NodeUrl, Failure),
    attempts: u32,
    elapsed: Duration,
    route: Route,
) -> Error {
    // The time of the last attempt alone would mislead.
    if let Failure::Timeout { after, .. } | Failure::Silent { after } = &mut failure {
        *after = elapsed;
    }
    Error {
        action: call.action,
        unreachable: route.unreachable(&node),
        endpoint: Some(node),
        attempts,
        elapsed,
        failure: Box::new(failure),
        write: call.kind == CallKind::Write,
    }
}
