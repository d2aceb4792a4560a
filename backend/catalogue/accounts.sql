-- The statements about users, keys and history by name; backend/catalogue/accounts.py and history.py read them.

-- name: add_user
insert into users (name, role) values ($1, $2) on conflict (name) do nothing
returning id, name, role, created_at

-- name: user
select id, name, role, created_at from users where name = $1

-- name: users
select id, name, role, created_at from users where id > $1 order by id limit $2

-- name: set_role
update users set role = $2 where name = $1 returning id, name, role, created_at

-- name: delete_user
delete from users where name = $1 returning id

-- name: delete_user_by_id
delete from users where id = $1

-- name: preferences
select preferences from users where id = $1

-- name: set_preferences
update users set preferences = $2::jsonb where id = $1 returning id

-- name: add_key
insert into api_keys (user_id, prefix, secret_sha256, label, scopes, expires_at) values ($1, $2, $3, $4, $5, $6)

-- name: key
select k.*, u.name, u.role, u.created_at as user_created_at
from api_keys k join users u on u.id = k.user_id
where k.prefix = $1

-- name: keys
select k.*, u.name, u.role, u.created_at as user_created_at
from api_keys k join users u on u.id = k.user_id
where $1::text is null or u.name = $1
order by k.id

-- name: expire_key
-- A key that expires sooner keeps to that: least() passes over null.
update api_keys set expires_at = least(expires_at, $2) where prefix = $1 returning id

-- name: touch_keys
update api_keys set last_used_at = now()
where id = any($1::bigint[]) and (last_used_at is null or last_used_at < now() - interval '1 minute')

-- name: make_history_partitions
select make_history_partitions()

-- name: drop_history_partitions
select drop_history_partitions($1)

-- name: record
-- The lock makes a deletion or an opting out wait until the entries are there, to take them along. An entry that came
-- in vain before, for its answer was lost, is not added twice.
insert into recognition_history (user_id, recognized_at, query_key, song_id, score, offset_ms)
select e.*
from unnest($1::bigint[], $2::timestamptz[], $3::bytea[], $4::bigint[], $5::double precision[], $6::integer[])
     as e (user_id, recognized_at, query_key, song_id, score, offset_ms)
join users u on u.id = e.user_id
where u.preferences -> 'history' is distinct from 'false'
  and (u.history_cleared_at is null or e.recognized_at > u.history_cleared_at)
for share of u
on conflict do nothing

-- name: history
select h.*, s.title, s.artist
from recognition_history h
left join songs s on s.id = h.song_id
where h.user_id = $1 and ($2::timestamptz is null or (h.recognized_at, h.query_key) < ($2, $3::bytea))
order by h.recognized_at desc, h.query_key desc
limit $4

-- name: refuse_history
update users set history_cleared_at = $2 where id = $1

-- name: delete_history
delete from recognition_history where user_id = $1 and recognized_at <= $2
