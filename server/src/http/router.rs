//! The table of routes: path and method to handler, with what must hold before the handler runs. Knows nothing of
//! connections; 404, 405 with `Allow`, and path parameters are decided here.

use crate::http::answer::body::Response;
use crate::http::context::Context;
use crate::http::extract::request::{Request, Spans};
use crate::http::pipeline::handling::Work;
use crate::http::problem::Problem;
use crate::limits::Family;
use http::{HeaderValue, Method, StatusCode};
use std::future::Future;
use std::time::Duration;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone; a bearer token is not read.
    Public,
    /// Who has a valid bearer token.
    Bearer,
    /// Who has one with the role of an administrator.
    Admin,
}

/// Bytes of a body at the most, unless the route says otherwise.
pub const BODY_LIMIT: usize = 1024 * 1024;
/// The same under `/auth`.
pub const AUTH_BODY_LIMIT: usize = 10 * 1024;
/// The same for a hall with its seating plan.
pub const HALL_BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Where accounts are made and tokens are answered, before there is a bearer.
const ACCOUNTS: &str = "/api/v1/auth/";

type Handler = Box<dyn Fn(Context, Request) -> Work + Send + Sync>;

/// One route. Needs a bearer and takes 1 MiB unless said otherwise.
pub struct Route {
    pub(in crate::http) method: Method,
    pub(in crate::http) path: &'static str,
    pub(in crate::http) access: Access,
    pub(in crate::http) body_limit: usize,
    pub(in crate::http) keyed: bool,
    pub(in crate::http) family: Option<Family>,
    pub(in crate::http) extra_time: Duration,
    pub(in crate::http) slow_times: u32,
    pub(in crate::http) handler: Handler,
    pub(in crate::http) names: &'static [&'static str],
}

impl Route {
    fn new<H, F>(method: Method, path: &'static str, handler: H) -> Self
    where
        H: Fn(Context, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        Self {
            method,
            path,
            access: Access::Bearer,
            body_limit: BODY_LIMIT,
            keyed: false,
            family: None,
            extra_time: Duration::ZERO,
            slow_times: 1,
            handler: Box::new(move |context, request| Box::pin(handler(context, request))),
            names: names_of(path),
        }
    }

    /// `GET`, which answers `HEAD` too.
    pub fn get<H, F>(path: &'static str, handler: H) -> Self
    where
        H: Fn(Context, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        Self::new(Method::GET, path, handler)
    }

    /// `POST`.
    pub fn post<H, F>(path: &'static str, handler: H) -> Self
    where
        H: Fn(Context, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        Self::new(Method::POST, path, handler)
    }

    /// `PUT`.
    pub fn put<H, F>(path: &'static str, handler: H) -> Self
    where
        H: Fn(Context, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        Self::new(Method::PUT, path, handler)
    }

    /// `PATCH`.
    pub fn patch<H, F>(path: &'static str, handler: H) -> Self
    where
        H: Fn(Context, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        Self::new(Method::PATCH, path, handler)
    }

    /// `DELETE`.
    pub fn delete<H, F>(path: &'static str, handler: H) -> Self
    where
        H: Fn(Context, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        Self::new(Method::DELETE, path, handler)
    }

    /// Its method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Its path, parameters in braces.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Who may call it.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether its answers concern one person alone: everything that needs a bearer, and what answers tokens.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.access != Access::Public || self.path.starts_with(ACCOUNTS)
    }

    /// Whether it takes an `Idempotency-Key`.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.keyed
    }

    /// Everyone may call it.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.access = Access::Public;
        self
    }

    /// Only administrators may call it.
    #[must_use]
    pub fn admin(mut self) -> Self {
        self.access = Access::Admin;
        self
    }

    /// Another limit for the body, in bytes.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// It takes an `Idempotency-Key`; a malformed one is refused before the handler runs.
    #[must_use]
    pub fn keyed(mut self) -> Self {
        self.keyed = true;
        self
    }

    /// How often it may be called is limited, together with the other routes of the family. For a request with an idempotency
    /// key, the handler says whether it has a stored answer ([`Context::looked_up`]).
    #[must_use]
    pub fn limited(mut self, family: Family) -> Self {
        self.family = Some(family);
        self
    }

    /// It may take so much longer than others before it is answered with 504, because it waits for somebody else.
    #[must_use]
    pub fn extra_time(mut self, extra: Duration) -> Self {
        self.extra_time = extra;
        self
    }

    /// It may take ten times as long as others before its answer is logged as a slow one: its work is long by nature.
    #[must_use]
    pub fn long_by_nature(mut self) -> Self {
        self.slow_times = 10;
        self
    }
}

/// The names in `/{braces}/` of a pattern. Leaked once for each route of the process, so that requests borrow them.
fn names_of(path: &str) -> &'static [&'static str] {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let names: Vec<&'static str> = names.map(|name| &*name.to_owned().leak()).collect();
    names.leak()
}

/// The methods of one path.
struct Methods {
    routes: Vec<(Method, usize)>,
    allow: HeaderValue,
}

/// All routes.
pub struct Router {
    routes: Vec<Route>,
    paths: matchit::Router<usize>,
    methods: Vec<Methods>,
}

/// Two routes cannot stand together.
#[derive(Debug, thiserror::Error)]
#[error("the route {path}: {reason}")]
pub struct RouteConflict {
    path: &'static str,
    reason: String,
}

impl Router {
    /// Builds the table.
    ///
    /// # Errors
    /// Two routes of the same method and path, or a pattern that cannot be distinguished from another.
    pub fn new(routes: Vec<Route>) -> Result<Self, RouteConflict> {
        let mut paths = matchit::Router::new();
        let mut methods: Vec<Methods> = Vec::new();
        let mut known: std::collections::HashMap<&'static str, usize> = std::collections::HashMap::new();
        for (number, route) in routes.iter().enumerate() {
            let path = route.path;
            let at = match known.get(path) {
                Some(&at) => at,
                None => {
                    let at = methods.len();
                    let inserted = paths.insert(path, at);
                    inserted.map_err(|error| RouteConflict { path, reason: error.to_string() })?;
                    methods.push(Methods { routes: Vec::new(), allow: HeaderValue::from_static("") });
                    known.insert(path, at);
                    at
                }
            };
            if methods[at].routes.iter().any(|(method, _)| *method == route.method) {
                return Err(RouteConflict { path, reason: format!("{} stands twice", route.method) });
            }
            methods[at].routes.push((route.method.clone(), number));
        }
        for path in &mut methods {
            path.allow = allow_header(&path.routes);
        }
        Ok(Self { routes, paths, methods })
    }

    /// Finds the route of a request.
    ///
    /// # Errors
    /// 404, or 405 with `Allow`.
    pub(in crate::http) fn find(&self, method: &Method, path: &str) -> Result<(usize, Spans), Problem> {
        let Ok(found) = self.paths.at(path) else { return Err(Problem::not_found()) };
        let methods = &self.methods[*found.value];
        let wanted = if *method == Method::HEAD { &Method::GET } else { method };
        let Some(&(_, route)) = methods.routes.iter().find(|(known, _)| known == wanted) else {
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "see Allow");
            return Err(problem.allow(methods.allow.clone()));
        };
        let start = path.as_ptr() as usize;
        let spans = found.params.iter().map(|(_, value)| {
            let from = value.as_ptr() as usize - start;
            from as u32..(from + value.len()) as u32
        });
        Ok((route, spans.collect()))
    }

    pub(in crate::http) fn route(&self, number: usize) -> &Route {
        &self.routes[number]
    }

    /// Every route as method and pattern, in the table's order; metrics are numbered by it.
    pub fn patterns(&self) -> impl Iterator<Item = (&Method, &'static str)> {
        self.routes.iter().map(|route| (&route.method, route.path))
    }
}

fn allow_header(routes: &[(Method, usize)]) -> HeaderValue {
    let mut names: Vec<&str> = routes.iter().map(|(method, _)| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.sort_unstable();
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use crate::http::answer::response::no_content;

    async fn nothing(_: Context, _: Request) -> Result<Response, Problem> {
        Ok(no_content())
    }

    fn check(method: Method, path: &str, expected: &str) {
        let router = Router::new(vec![
            Route::get("/a/{id}", nothing),
            Route::delete("/a/{id}", nothing),
            Route::get("/a/{id}/b/{other}", nothing),
            Route::post("/a/fixed", nothing).public(),
        ])
        .unwrap();
        let actual = match router.find(&method, path) {
            Ok((route, spans)) => {
                let params: Vec<&str> = spans.iter().map(|s| &path[s.start as usize..s.end as usize]).collect();
                format!("{} {:?} {params:?}", router.route(route).path, router.route(route).names)
            }
            Err(problem) => {
                let response = problem.into_response("", Default::default());
                let allow = response.headers().get("allow").map(|value| value.to_str().unwrap().to_owned());
                format!("{} {}", response.status().as_u16(), allow.unwrap_or_default())
            }
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn a_request_finds_its_route_or_what_is_allowed() {
        check(Method::GET, "/a/7", r#"/a/{id} ["id"] ["7"]"#);
        check(Method::HEAD, "/a/7", r#"/a/{id} ["id"] ["7"]"#);
        check(Method::GET, "/a/7/b/8", r#"/a/{id}/b/{other} ["id", "other"] ["7", "8"]"#);
        check(Method::PUT, "/a/7", "405 DELETE, GET, HEAD");
        check(Method::GET, "/a/fixed", "405 POST");
        check(Method::GET, "/b", "404 ");
    }

    #[test]
    fn a_route_stands_once() {
        assert!(Router::new(vec![Route::get("/a", nothing), Route::get("/a", nothing)]).is_err());
        assert!(Router::new(vec![Route::get("/a/{x}", nothing), Route::get("/a/{y}", nothing)]).is_err());
    }
}
