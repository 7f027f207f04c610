//! A token taken apart: the compact form of RFC 7515, read strictly (RFC 8725).

use super::Refusal;
use super::jwk::Algorithm;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use handover_core::limits::API_TOKEN_MAX_BYTES;
use serde_json::Value;

/// The longest name of a key.
const KID_MAX_BYTES: usize = 255;
pub(super) const MALFORMED: Refusal =
    "this is no access token: three parts of base64url are wanted, the first two of which are JSON";

/// A token whose signature has not been checked.
pub(super) struct Jws<'t> {
    pub(super) algorithm: Algorithm,
    /// Which of the provider's keys signed it.
    pub(super) kid: Option<String>,
    /// What is signed.
    pub(super) signed: &'t [u8],
    /// What it says, as JSON.
    pub(super) claims: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Takes a token apart whose algorithm is one of these. Of its header only the algorithm, the key's name and the type count:
    /// where a key could be had (`jku`, `x5u`, `jwk`) is nothing that a token may say.
    pub(super) fn read(token: &'t str, algorithms: &[String]) -> Result<Self, Refusal> {
        if token.len() > API_TOKEN_MAX_BYTES {
            return Err("the token is longer than 8 KiB");
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, claims) = signed.split_once('.').ok_or(MALFORMED)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| MALFORMED);
        let header = crate::body::parse(&decode(header)?).map_err(|_| MALFORMED)?;
        let header = header.as_object().ok_or(MALFORMED)?;
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(MALFORMED),
        };
        if header.contains_key("crit") {
            return Err("the token asks for an extension that is not known here (crit)");
        }
        check_type(text("typ")?)?;
        let given = text("alg")?.ok_or(MALFORMED)?;
        let algorithm = Algorithm::named(given)
            .filter(|algorithm| algorithms.iter().any(|allowed| allowed == algorithm.name()))
            .ok_or("the token is signed by an algorithm that is not taken")?;
        let kid = text("kid")?.map(str::to_owned);
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_MAX_BYTES) {
            return Err("the name of the token's key (kid) is too long");
        }
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        Ok(Self { algorithm, kid, signed: signed.as_bytes(), claims, signature })
    }
}

/// An access token says that it is one (RFC 9068), or that it is a JWT, or nothing; what is meant for something else says so.
fn check_type(given: Option<&str>) -> Result<(), Refusal> {
    let Some(given) = given else { return Ok(()) };
    let lower = given.to_ascii_lowercase();
    match lower.strip_prefix("application/").unwrap_or(&lower) {
        "at+jwt" | "jwt" => Ok(()),
        _ => Err("this is a token of another kind (typ): an access token is wanted"),
    }
}
