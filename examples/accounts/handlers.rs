//! What can be done with accounts.

use super::{
    Site,
    accounts::{self, Account},
    sent::{Change, Confirmation, Credentials, Sent, check_name, check_password},
    sessions::{self, Token},
    visitor::Visitor,
};
use lakh::{
    http::{
        HandlerError, HandlerResult, Response, StatusCode,
        extract::{Extension, Json, State},
    },
    password::PasswordHash,
};
use serde_json::{Value, json};

pub(crate) fn page(Extension(visitor): Extension<Visitor>) -> Response {
    visitor.page()
}

pub(crate) fn me(Extension(visitor): Extension<Visitor>) -> HandlerResult<Json<Value>> {
    Ok(named(visitor.known_name()?))
}

pub(crate) async fn sign_up(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    Sent(Credentials { name, password }): Sent<Credentials>,
) -> HandlerResult {
    check_name(&name)?;
    check_password(&password)?;
    let hash = site.hasher.hash(password).await?.to_string();
    let token = Token::new()?;
    let (digest, before) = (token.digest(), visitor.session());
    let account = site.database.write(move |transaction| {
        let account = accounts::create(transaction, &name, &hash)?;
        if let Some(account) = &account {
            sessions::open(transaction, account, &digest, before.as_ref())?;
        }
        Ok(account)
    });
    match account.await? {
        Some(account) => Ok(visitor.begin(&token).tell(StatusCode::CREATED, named(&account.name))),
        None => Err(HandlerError::new(StatusCode::CONFLICT, "this name is taken")),
    }
}

pub(crate) async fn log_in(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    Sent(Credentials { name, password }): Sent<Credentials>,
) -> HandlerResult {
    let account = authenticate(&site, &name, &password).await?;
    let token = Token::new()?;
    let (digest, before, name) = (token.digest(), visitor.session(), account.name.clone());
    let opened = site
        .database
        .write(move |transaction| sessions::open(transaction, &account, &digest, before.as_ref()))
        .await?;
    match opened {
        true => Ok(visitor.begin(&token).tell(StatusCode::OK, named(&name))),
        false => Err(wrong()),
    }
}

pub(crate) async fn log_out(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
) -> HandlerResult {
    if let Some(digest) = visitor.session() {
        site.database.write(move |transaction| sessions::close(transaction, &digest)).await?;
    }
    Ok(visitor.end().tell(StatusCode::NO_CONTENT, ()))
}

/// Ends all sessions, and begins a new one for who has changed it.
pub(crate) async fn change_password(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    Sent(Change { password, new }): Sent<Change>,
) -> HandlerResult {
    let name = visitor.known_name()?;
    check_password(&new)?;
    let account = authenticate(&site, name, &password).await?;
    let hash = site.hasher.hash(new).await?.to_string();
    let token = Token::new()?;
    let digest = token.digest();
    let changed = site.database.write(move |transaction| {
        if !accounts::set_hash(transaction, &account, &hash)? {
            return Ok(false);
        }
        sessions::close_all(transaction, &account)?;
        sessions::open(transaction, &Account { hash, ..account }, &digest, None)
    });
    match changed.await? {
        true => Ok(visitor.begin(&token).note_change().tell(StatusCode::NO_CONTENT, ())),
        false => Err(wrong()),
    }
}

pub(crate) async fn delete(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    Sent(Confirmation { password }): Sent<Confirmation>,
) -> HandlerResult {
    let account = authenticate(&site, visitor.known_name()?, &password).await?;
    match site.database.write(move |transaction| accounts::delete(transaction, &account)).await? {
        true => Ok(visitor.end().tell(StatusCode::NO_CONTENT, ())),
        false => Err(wrong()),
    }
}

/// The account of who knows its password. A name that nobody has takes as long.
async fn authenticate(site: &Site, name: &str, password: &str) -> HandlerResult<Account> {
    check_name(name)?;
    site.attempts.take(name)?;
    let found = verify(site, name, password).await;
    if !matches!(found, Ok(None)) {
        site.attempts.give_back(name);
    }
    found?.ok_or_else(wrong)
}

/// The same, with a hash as new ones are.
async fn verify(site: &Site, name: &str, password: &str) -> HandlerResult<Option<Account>> {
    let Some((account, needs_rehash)) = look_up(site, name, password).await? else { return Ok(None) };
    if !needs_rehash {
        return Ok(Some(account));
    }
    match rehash(site, account, password).await? {
        Some(account) => Ok(Some(account)),
        // Another login was faster, or the password is another one by now.
        None => Ok(look_up(site, name, password).await?.map(|(account, _)| account)),
    }
}

/// The same, and whether its hash is to be replaced.
async fn look_up(site: &Site, name: &str, password: &str) -> HandlerResult<Option<(Account, bool)>> {
    let wanted = name.to_owned();
    let account = site.database.read(move |connection| accounts::find(connection, &wanted)).await?;
    let stored: Option<PasswordHash> = account.as_ref().map(|account| account.hash.parse()).transpose()?;
    let verdict = site.hasher.verify(password, stored.as_ref()).await?;
    Ok(account.filter(|_| verdict.is_right()).map(|account| (account, verdict.needs_rehash())))
}

/// Replaces a hash that is of another algorithm or of other costs than new ones. `None` if the account has yet another one by
/// now.
async fn rehash(site: &Site, account: Account, password: &str) -> HandlerResult<Option<Account>> {
    let hash = site.hasher.hash(password).await?.to_string();
    let replaced = site.database.write(move |transaction| {
        let is_set = accounts::set_hash(transaction, &account, &hash)?;
        Ok(is_set.then_some(Account { hash, ..account }))
    });
    replaced.await
}

fn wrong() -> HandlerError {
    HandlerError::new(StatusCode::UNAUTHORIZED, "the name or the password is wrong")
}

fn named(name: &str) -> Json<Value> {
    Json(json!({ "name": name }))
}
