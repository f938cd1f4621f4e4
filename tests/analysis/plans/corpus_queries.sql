-- One query of every node type and of every case in which the arithmetic has a trap.
-- name: result
select 1;
-- name: seq_scan
select * from users where score > 990;
-- name: index_scan
select * from users where id = 7;
-- name: index_scan_backward
select * from users order by created_at desc limit 10;
-- name: index_only_scan
select tenant_id, email from users where tenant_id = 3;
-- name: bitmap_heap
select * from users where score between 10 and 60;
-- name: bitmap_or
select * from users where score = 5 or created_at < '2026-01-01 03:00';
-- name: bitmap_and
select * from orders where user_id between 1 and 2000 and placed = '2026-01-03';
-- name: lossy_bitmap
-- set: enable_indexscan=off
-- set: work_mem=64kB
-- set: enable_seqscan=off
create temporary table wide as select i % 1000 as score, repeat('y', 800) as t from generate_series(1, 15000) i;
create index on wide (score);
analyze wide;
select count(t) from wide where score < 900;
-- name: nested_loop
select * from users u join orders o on o.user_id = u.id where u.score = 77;
-- name: nested_loop_left
select * from users u left join notes n on n.id = u.id where u.score = 78;
-- name: hash_join
select count(*) from users u join orders o on o.user_id = u.id;
-- name: hash_left
select count(*) from users u left join notes n on n.user_id = u.id;
-- name: hash_spill
-- set: work_mem=64kB
select count(*) from users u join orders o on o.user_id = u.id;
-- name: hash_empty
select * from orders o join users u on u.id = o.user_id where u.bio = 'none';
-- name: merge_join
-- set: enable_hashjoin=off
-- set: enable_nestloop=off
select count(*) from users u join orders o on o.user_id = u.id;
-- name: merge_duplicates
-- set: enable_hashjoin=off
-- set: enable_nestloop=off
select count(*) from notes a join notes b on a.user_id = b.user_id;
-- name: semi
select * from users u where exists (select from orders o where o.user_id = u.id and o.total > 480) and u.score < 40;
-- name: anti
select count(*) from users u where not exists (select from notes n where n.user_id = u.id);
-- name: sort_memory
select * from users where tenant_id = 2 order by bio, email;
-- name: sort_disk
-- set: work_mem=64kB
select * from users order by bio, email;
-- name: top_n
select * from users order by score, email limit 5;
-- name: incremental_sort
select * from users order by created_at, bio limit 50;
-- name: incremental_sort_groups
-- set: enable_seqscan=off
-- set: enable_sort=off
select * from users order by score, bio;
-- name: aggregate_plain
select count(*), sum(total) from orders;
-- name: aggregate_hash
select user_id % 100, count(*) from orders group by 1;
-- name: aggregate_group
-- set: enable_hashagg=off
select placed, count(*) from orders group by placed;
-- name: aggregate_spill
-- set: work_mem=64kB
-- set: enable_sort=off
-- set: enable_indexscan=off
-- set: enable_indexonlyscan=off
select user_id, count(*) from orders group by user_id;
-- name: grouping_sets
select placed, total, count(*) from orders group by grouping sets ((placed), (total), ());
-- name: group
-- set: enable_hashagg=off
select placed from orders group by placed;
-- name: unique
-- set: enable_hashagg=off
select distinct user_id from orders;
-- name: distinct_on
select distinct on (tenant_id) * from users order by tenant_id, created_at desc;
-- name: window
select id, rank() over (partition by tenant_id order by score) from users where score < 100;
-- name: window_limit
select * from (select id, row_number() over (order by id) as n from users) s where n <= 5;
-- name: offset
select * from users order by id limit 10 offset 5000;
-- name: union_all
select id from users where score = 1 union all select id from orders where user_id = 1;
-- name: union
select id from users where score < 20 union select id from orders where user_id < 20;
-- name: intersect
select id from users where score < 100 intersect select user_id from orders;
-- name: except
select id from users except all select user_id from orders;
-- name: append_partitions
select count(*) from events;
-- name: append_pruned_at_start
-- generic: date
prepare corpus_pruned (date) as select count(*) from events where at = $1;
execute corpus_pruned ('2026-02-03');
-- name: append_pruned_while_running
-- set: enable_hashjoin=off
-- set: enable_mergejoin=off
select count(*) from (values (date '2026-01-05'), (date '2026-01-06')) v(d) join events e on e.at = v.d;
-- name: merge_append
-- set: enable_sort=off
select * from (select id from users union all select id from orders) s order by id limit 20;
-- name: subquery_scan
select * from (select id, score from users order by score limit 100) s where id % 2 = 0;
-- name: values
select * from (values (1, 'a'), (2, 'b')) v(x, y) where x > 1;
-- name: function_scan
select * from generate_series(1, 3000) g where g % 3 = 0;
-- name: table_function
select * from xmltable('/a/b' passing '<a><b>1</b><b>2</b></a>' columns x int path '.');
-- name: project_set
select generate_series(1, 2000), id from tenants;
-- name: tid_scan
select * from users where ctid = '(0,1)';
-- name: tid_range
select count(*) from users where ctid < '(20,1)';
-- name: tablesample
select count(*) from users tablesample system (20);
-- name: materialize
-- set: enable_hashjoin=off
-- set: enable_mergejoin=off
-- set: enable_memoize=off
select count(*) from tenants a join users u on a.id > u.id where u.id < 30;
-- name: memoize
-- set: enable_hashjoin=off
-- set: enable_mergejoin=off
select count(*) from orders o join tenants t on t.id = o.total::int where o.user_id < 4000;
-- name: cte_once
with c as materialized (select tenant_id, count(*) n from users group by 1) select * from c where n > 10;
-- name: cte_twice
with c as materialized (select id, slow(id) s from users where id < 300) select * from c a join c b on a.id = b.s;
-- name: cte_twice_limited
with c as materialized (select id, slow(id) s from users) select * from c a, c b limit 30;
-- name: cte_of_cte
with a as materialized (select id, slow(id) s from users where id < 200),
     b as materialized (select s, count(*) n from a group by s)
select * from a join b using (s) where b.n > (select min(n) from b);
-- name: cte_shadowed
with c as materialized (select id from users where score = 1)
select * from c where id in (with c as materialized (select user_id from orders where total = 3) select user_id from c);
-- name: cte_in_subplan
select id, (with c as materialized (select total from orders where user_id = u.id) select sum(a.total + b.total) from c a, c b)
from users u where score = 9;
-- name: recursive
with recursive r(n) as (select 1 union all select n + 1 from r where n < 2000) select sum(n) from r;
-- name: recursive_join
with recursive r(id, depth) as (
    select 1, 0 union all select o.id, depth + 1 from r join orders o on o.user_id = r.id where depth < 6
) select count(*) from r;
-- name: init_plan
select count(*) from users where score > (select avg(slow(id)) from notes where id < 400);
-- name: init_plan_in_output
select id, (select sum(slow(id)) from notes where id < 300) from users where score = 3;
-- name: init_plans_many
select (select count(*) from users where id < 10), (select count(*) from users where id < 20),
    (select count(*) from users where id < 30), (select count(*) from users where id < 40),
    (select count(*) from users where id < 50), (select count(*) from users where id < 60),
    (select count(*) from users where id < 70), (select count(*) from users where id < 80),
    (select count(*) from users where id < 90), (select sum(slow(id)) from users where id < 400);
-- name: init_plan_in_index_condition
select * from orders o join users u on u.id = o.user_id and u.score = (select max(slow(id)) % 10 from notes where id < 200)
where o.total = 3;
-- name: init_plan_on_inner_side
-- set: enable_hashjoin=off
-- set: enable_mergejoin=off
-- set: enable_memoize=off
select count(*) from notes n join users u on u.id = n.user_id + (select min(slow(id)) from notes where id < 500)
where n.id < 50;
-- name: init_plan_below_sort
select * from users where score = (select max(slow(id)) % 100 from notes where id < 200) order by email limit 5;
-- name: init_plan_never_run
select * from users where id = -1 and score > (select avg(score) from users);
-- name: init_plan_of_init_plan
select * from users where score = (select max(id) % 100 from notes where id > (select avg(slow(id)) from notes where id < 300));
-- name: sub_plan
select id, (select count(*) from orders o where o.user_id = u.id) from users u where score < 20;
-- name: sub_plan_hashed
select count(*) from users where id not in (select user_id from notes);
-- name: sub_plan_filter
select count(*) from users u where score < 30 and 3 < (select count(*) from orders o where o.user_id = u.id);
-- name: sub_plan_exists_or
select count(*) from users u where exists (select from notes n where n.user_id = u.id) or score = 1;
-- name: sub_plan_slow
select u.id, (select max(slow(n.id)) from notes n where n.user_id = u.id) from users u where id < 40 order by 2 limit 3;
-- name: one_time_filter
select * from users where (select count(*) from tenants) > 100;
-- name: limit_early
select * from orders limit 20;
-- name: limit_zero
select * from orders limit 0;
-- name: never_executed
select * from users u join orders o on o.user_id = u.id where u.id = -5;
-- name: parallel_seq
-- parallel
select count(*) from orders where total > 490;
-- name: parallel_skewed
-- parallel
select sum(slow(id)) from users where id < 600;
-- name: parallel_hash
-- parallel
select count(*) from users u join orders o on o.user_id = u.id;
-- name: parallel_nested
-- parallel
-- set: enable_hashjoin=off
-- set: enable_mergejoin=off
select count(*) from users u join orders o on o.user_id = u.id where u.score < 100;
-- name: parallel_append
-- parallel
select count(*) from events where kind = 'k1';
-- name: parallel_sort
-- parallel
select * from users order by bio, email;
-- name: parallel_group
-- parallel
select tenant_id, count(*) from users group by tenant_id order by tenant_id;
-- name: parallel_limit
-- parallel
select * from users where slow(score) > 995 limit 3;
-- name: parallel_no_leader
-- parallel
-- set: parallel_leader_participation=off
select count(*) from orders where total > 490;
-- name: parallel_init_plan
-- parallel
select count(*) from users where score > (select avg(slow(id)) from notes where id < 500);
-- name: parallel_sub_plan
-- parallel
select count(*) from users u where 3 < (select count(*) from orders o where o.user_id = u.id) and score < 200;
-- name: parallel_in_loop
-- parallel
-- set: enable_material=off
select * from (values (1), (2), (3)) v(x), lateral (select count(*) from orders o where o.total > 100 + v.x offset 0) s;
-- name: parallel_index
-- parallel
-- set: enable_seqscan=off
-- set: enable_bitmapscan=off
select count(*) from orders where user_id < 15000;
-- name: parallel_bitmap
-- parallel
-- set: enable_seqscan=off
-- set: enable_indexscan=off
-- set: enable_indexonlyscan=off
select count(*) from orders where user_id < 15000;
-- name: parallel_single_copy
-- set: debug_parallel_query=on
select count(*) from users where score = 1;
-- name: parallel_cte
-- parallel
with c as materialized (select tenant_id, sum(slow(score)) s from users where id < 500 group by 1)
select count(*) from c a join c b using (tenant_id);
-- name: jit
-- set: jit=on
-- set: jit_above_cost=0
-- set: jit_inline_above_cost=0
-- set: jit_optimize_above_cost=0
select tenant_id, sum(score * 2 + 1) from users where score > 3 group by 1;
-- name: insert
insert into audit (what) select 'x' || g from generate_series(1, 500) g;
-- name: insert_triggers
insert into notes select 10000 + g, g, 'new' from generate_series(1, 60) g;
-- name: insert_conflict
insert into tenants select g, 'again' from generate_series(40, 60) g on conflict (id) do update set name = excluded.name;
-- name: insert_returning
insert into tenants select g, 'more' from generate_series(100, 130) g returning id;
-- name: update
update users set score = score + 1 where tenant_id = 4;
-- name: update_triggers
update notes set body = body || '!' where id < 30;
-- name: update_multi
update users u set (score, bio) = (select count(*), max(body) from notes n where n.user_id = u.id) where u.id < 50;
-- name: delete_cascade
delete from users where id < 40;
-- name: delete_using
delete from orders o using users u where u.id = o.user_id and u.score = 12;
-- name: merge
merge into tenants t using (select g id from generate_series(45, 55) g) s on t.id = s.id
when matched then update set name = 'merged' when not matched then insert values (s.id, 'new');
-- name: update_partitions
update events set kind = 'z' where tenant_id = 3;
-- name: cte_writing_unread
with moved as (insert into audit (what) select 'y' || slow(g) from generate_series(1, 300) g returning what) select 1;
-- name: cte_writing_read
with gone as (delete from orders where id < 300 returning *) select count(*) from gone;
-- name: cte_writing_limited
with gone as (delete from orders where id < 3000 returning *) select * from gone limit 3;
-- name: lock_rows
select * from users where score = 4 for update;
-- name: lock_rows_limit
select * from users where active order by id limit 5 for update skip locked;
-- name: lateral
select t.id, s.* from tenants t, lateral (select * from users u where u.tenant_id = t.id order by score limit 2) s;
-- name: wide_join
select count(*) from users a join users b on a.id = b.id join users c on b.id = c.id join users d on c.id = d.id
    join orders e on e.user_id = d.id join orders f on f.id = e.id join tenants g on g.id = a.tenant_id where a.score < 300;
-- name: serialize
-- option: serialize text
select * from users where score < 500;
-- name: wal
-- option: wal
update users set score = 0 where tenant_id = 5;
-- name: temporary
create temporary table corpus_temp as select * from users where id < 3000;
select count(*) from corpus_temp where score > 3;
-- name: foreign
select count(*) from corpus_file where line like '%a%';
-- name: array_sublink
select array(select id from users where score = u.id % 5 limit 3) from users u where id < 100;
-- name: any_sublink
select count(*) from users where score = any (array(select slow(id) from notes where id < 50));
-- name: parallel_limit_above_group
-- parallel
-- set: enable_hashagg=off
select tenant_id, count(*) from users group by tenant_id order by tenant_id limit 1;
-- name: parallel_limit_above_join
-- parallel
-- set: enable_hashjoin=off
-- set: enable_mergejoin=off
-- set: enable_memoize=off
select * from tenants t join users u on u.tenant_id = t.id and slow(u.score) > 1 limit 2;
-- name: parallel_exists
-- parallel
select exists (select from users where slow(score) > 990), (select count(*) from tenants);
-- name: parallel_below_merge
-- parallel
-- set: enable_hashjoin=off
-- set: enable_nestloop=off
select * from (select user_id, count(*) c from orders group by 1 order by 1) s join tenants t on t.id = s.user_id;
-- name: cartesian
select count(*) from (select 1 from users limit 400) a, (select 1 from orders limit 100) b;
-- name: workers_missing
-- parallel
-- set: max_parallel_workers=0
select count(*) from users where score > 0;
-- name: cast_to_text
select * from orders where user_id::text = '77';
-- name: foreign_thrown_away
select * from corpus_file a where line = '7' or line = '8';
-- name: dead_space
create table husk as select i as id, repeat('z', 500) as t from generate_series(1, 12000) i;
delete from husk where id > 20;
select * from husk;
-- name: join_few
-- set: enable_nestloop=off
-- set: enable_mergejoin=off
create temporary table orders_copy as select o.* from orders o, generate_series(1, 3) copies;
analyze orders_copy;
select * from users u join orders_copy o on o.user_id = u.id where u.id < 5;
-- name: index_key_by_subquery
-- set: enable_hashjoin=off
-- set: enable_mergejoin=off
-- set: enable_memoize=off
select * from tenants t join users u on u.id = (select max(n.user_id) from notes n where n.id % 50 = t.id);
-- name: bitmap_key_by_subquery
-- set: enable_hashjoin=off
-- set: enable_mergejoin=off
-- set: enable_indexscan=off
-- set: enable_memoize=off
select t.id, (select count(u.bio) from users u where u.score = (select max(n.user_id) from notes n where n.id % 50 = t.id))
from tenants t;
-- name: forced
-- option: settings
-- set: enable_indexscan=off
-- set: enable_bitmapscan=off
-- set: enable_seqscan=off
select * from users where bio = 'none';
-- name: extreme
select max(total) from orders;
