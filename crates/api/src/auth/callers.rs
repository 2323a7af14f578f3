//! What requests show, and identities of IAM, which sign theirs in place of sending a key.

use std::fmt;
use std::str::FromStr;

use mergeline_domain::Problem;
use serde::Serialize;

const AUTHORIZER: &str = "AUTHORIZER";

/// Who decides whether a request comes from somebody who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Authorizer {
    /// The holder of a key.
    #[default]
    Key,
    /// The identity of IAM that signed it. API Gateway checks the signature.
    Iam,
    /// Whom its token is about. The program checks the token.
    Jwt,
}

impl Authorizer {
    /// Reads `AUTHORIZER` through `lookup`; [`Authorizer::Key`] without it.
    ///
    /// # Errors
    /// `config.authorizer` for another value.
    pub(crate) fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        match lookup(AUTHORIZER).as_deref().map(str::trim) {
            None | Some("" | "key") => Ok(Self::Key),
            Some("iam") => Ok(Self::Iam),
            Some("jwt") => Ok(Self::Jwt),
            Some(_) => {
                let help = "write key, jwt for tokens, or iam where API Gateway checks signatures of IAM";
                Err(Problem::setting("config.authorizer", AUTHORIZER, "there is no such way to authorize", help))
            }
        }
    }
}

/// The ARN of who signed a request, as API Gateway found it out. Only what is behind the gateway may set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub String);

/// A user or a role of IAM. Everybody who takes a role is that role.
///
/// Names of users and of roles occur once in an account, with or without a path, and the ARN of a role that was taken has no path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    partition: String,
    account: String,
    kind: Kind,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Role,
    User,
}

/// Not the ARN of a user or a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdentityError;

impl FromStr for Identity {
    type Err = IdentityError;

    /// Of a user or a role, or of a session of a role: `arn:aws:sts::123456789012:assumed-role/grafana/SESSION`.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, service, "", account, resource] = parts.as_slice() else { return Err(IdentityError) };
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_partition =
            partition.starts_with("aws") && partition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let segments: Vec<&str> = resource.split('/').collect();
        let (kind, name) = match (service, segments.as_slice()) {
            ("iam", ["user", .., name]) => (Kind::User, *name),
            ("iam", ["role", .., name]) | ("sts", ["assumed-role", name, _]) => (Kind::Role, *name),
            _ => return Err(IdentityError),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
        let is_name = !name.is_empty() && name.len() <= 64 && name.chars().all(allowed);
        (is_account && is_partition && is_name)
            .then(|| Self { partition: partition.to_owned(), account: account.to_owned(), kind, name: name.to_owned() })
            .ok_or(IdentityError)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Role => "role",
            Kind::User => "user",
        };
        write!(f, "arn:{}:iam::{}:{kind}/{}", self.partition, self.account, self.name)
    }
}

impl Serialize for Identity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_the_same_with_its_path_and_when_it_is_taken() {
        let role: Identity = "arn:aws:iam::123456789012:role/grafana".parse().expect("a role");
        for same in [
            "arn:aws:iam::123456789012:role/tools/reading/grafana",
            "arn:aws:sts::123456789012:assumed-role/grafana/ana@example.com",
        ] {
            assert_eq!(same.parse(), Ok(role.clone()), "{same}");
        }
        for other in [
            "arn:aws:iam::123456789012:user/grafana",
            "arn:aws:iam::210987654321:role/grafana",
            "arn:aws-cn:iam::123456789012:role/grafana",
            "arn:aws:sts::123456789012:assumed-role/Grafana/1",
            "arn:aws:sts::123456789012:assumed-role/other/grafana",
        ] {
            assert_ne!(other.parse(), Ok(role.clone()), "{other}");
        }
        assert_eq!(role.to_string(), "arn:aws:iam::123456789012:role/grafana");
    }

    #[test]
    fn only_users_and_roles_are_identities() {
        for text in [
            "",
            "grafana",
            "arn:aws:iam::123456789012:root",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/*",
            "arn:aws:iam::*:role/grafana",
            "arn:*:iam::123456789012:role/grafana",
            "arn:aws:iam:eu-north-1:123456789012:role/grafana",
            "arn:aws:iam::123456789012:group/grafana",
            "arn:aws:sts::123456789012:assumed-role/grafana",
            "arn:aws:sts::123456789012:federated-user/grafana",
        ] {
            assert_eq!(text.parse::<Identity>(), Err(IdentityError), "{text}");
        }
    }

    #[test]
    fn the_way_to_authorize_is_one_of_three() {
        let read = |text: &str| Authorizer::from_vars(|_| Some(text.to_owned())).map_err(|problem| problem.code);
        assert_eq!(
            (read("key"), read(" iam "), read("jwt"), read("")),
            (Ok(Authorizer::Key), Ok(Authorizer::Iam), Ok(Authorizer::Jwt), Ok(Authorizer::Key))
        );
        assert_eq!(read("JWT"), Err("config.authorizer"));
        assert_eq!(read("none"), Err("config.authorizer"));
    }
}
