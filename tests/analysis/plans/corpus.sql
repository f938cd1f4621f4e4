-- Tables for one query of every node type. Small: a few pages to a few thousand.
create table tenants (id int primary key, name text not null);
create table users (
    id int primary key, tenant_id int not null references tenants, email text not null, score int,
    active boolean not null default true, created_at timestamptz not null, bio text
);
create table orders (id int primary key, user_id int not null, total numeric not null, placed date not null);
create table events (id int, tenant_id int not null, at date not null, kind text) partition by range (at);
create table events_1 partition of events for values from ('2026-01-01') to ('2026-02-01');
create table events_2 partition of events for values from ('2026-02-01') to ('2026-03-01');
create table events_3 partition of events for values from ('2026-03-01') to ('2026-04-01');
create table notes (id int primary key, user_id int references users on delete cascade, body text);
create table audit (at timestamptz default now(), what text);
insert into tenants select i, 'tenant ' || i from generate_series(1, 50) i;
insert into users select i, 1 + (case when i % 3 = 0 then 0 else i % 50 end), 'u' || i || '@example.org', i % 1000,
    i % 10 <> 0, timestamptz '2026-01-01' + i * interval '1 minute', repeat('x', 100)
    from generate_series(1, 20000) i;
insert into orders select i, 1 + (i * 7919) % 20000, i % 500, date '2026-01-01' + i % 90 from generate_series(1, 60000) i;
insert into events select i, i % 50, date '2026-01-01' + i % 90, 'k' || i % 5 from generate_series(1, 30000) i;
insert into notes select i, 1 + i % 2000, 'note ' || i from generate_series(1, 4000) i;
create index users_tenant_email on users (tenant_id, email);
create index users_created on users (created_at);
create index users_score on users (score);
create index orders_user on orders (user_id);
create index orders_placed on orders (placed);
create index events_1_tenant on events_1 (tenant_id);
create function audit_before() returns trigger language plpgsql as $$
begin perform pg_sleep(0.0005); return new; end $$;
create function audit_after() returns trigger language plpgsql as $$
begin insert into audit (what) values (new.body); return null; end $$;
create trigger notes_before before insert or update on notes for each row execute function audit_before();
create trigger notes_after after insert or update on notes for each row execute function audit_after();
create function slow(x int) returns int language plpgsql volatile parallel safe as $$
begin perform count(*) from generate_series(1, 200 + (x % 7) * 100); return x; end $$;
-- What is rolled back leaves dead rows and cleared visibility bits: who vacuumed between two looks at a plan would
-- change it.
do $$ declare t regclass; begin
    for t in select oid from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace loop
        execute format('alter table %s set (autovacuum_enabled = false)', t);
    end loop;
end $$;
vacuum analyze;
