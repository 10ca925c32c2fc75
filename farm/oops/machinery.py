"""Groups of functions by what they are for: regular expressions over whole names, compiler suffixes removed.

Each is a list separated by white space. The directories in the comments are where the functions live.
"""

_GROUPS = {
    # Printing and stack walking (lib/dump_stack.c, kernel/panic.c, kernel/printk, kernel/stacktrace.c).
    "print": r"""
        _*dump_stack\w* _*dump_backtrace\w* unwind_backtrace c_backtrace walk_stackframe
        show_(stack|trace|regs)\w*
        print_(report|address_description|worker_info|modules|tainted|unreferenced\w*) arch_stack_walk\w*
        v?panic nmi_panic check_panic_on_warn _*warn(_slowpath\w*|_printk|_alloc\w*|_on_\w+)? report_bug
        find_bug fixup_bug _*die(_\w+)? oops_(begin|end|exit) notify_die arm(64)?_notify_die bust_spinlocks
        make_task_dead rewind_stack_\w+ _*v?printk\w* _*_printk\w* dev_v?printk\w* dev_vprintk_emit
        _*dev_printk _dev_(printk|emerg|alert|crit|err|warn|notice|info)
        console_(unlock|trylock|lock|flush\w*|emit\w*|cont_flush) __down_trylock_console_sem vprintk\w*
        va_format _*print_hex_dump\w* hex_dump_to_buffer hex_string _*dump_page\w* bad_page\w* seq_printf
        seq_vprintf stack_trace_(save|consume)\w* _*save_stack(_trace)?\w* _*stack_chk_fail
        print_bad_(pte|page_map) is_(bpf_text|module_text)_address _*kernel_text_address
        _*(netdev|dev)_(printk|err|warn|info)\w*
    """,
    # The way from a CPU exception to the report (arch/*/kernel/traps.c, arch/*/mm/fault.c, arch/*/entry).
    "report": r"""
        (asm_)?exc_\w+ handle_(bug|exception)
        (invalid_op|general_protection|divide_error|double_fault|stack_segment|int3)
        (async_|trace_)?page_fault
        do_(trap\w*|error_trap|invalid_op|general_protection|divide_error|int3|double_fault)
        do_(stack_segment|alignment\w*|undef\w*|bug|page_fault|bad_area\w*|kernel_fault|kern_addr_fault|user_addr_fault)
        do_(mem_abort|translation_fault|sect_fault|DataAbort|PrefetchAbort|tag_check_fault|tag_recovery|sea|bad|serror)
        do_(debug_exception|el1_\w+|page_fault_\w+|user_fault|kernel_\w*fault)
        _*do_(page_fault|kernel_fault|user_fault) _*bad_area\w* no_context page_fault_oops
        kernelmode_fixup_or_oops error_(entry|exit|return) paranoid_\w+
        \w*(brk|bug|ubsan|cfi|reserved_fault|kasan)_handler call_(el1_)?break_hook brk_handler
        debug_exception_\w+ el1_(abort|dbg|undef|sync|inv|fpac|bti|brk64)\w* el1h_64_(sync|error)\w*
        el1_sync\w* vectors _*(und|pabt|dabt)_(svc|invalid|usr)\w* ret_from_exception exception_(enter|exit)
        handle_page_fault rust_helper_BUG .*rust_begin_unwind core::(panicking|result|option|slice|str)::.*
        __rust_\w+ <core::.* restore_regs_and_\w+ retint_\w+ .*_indirect_thunk\w* zen_untrain_ret srso_\w+
        its_\w+_thunk\w* retbleed_\w+
    """,
    # Entry from user space and interrupts; kernel threads, work and exit to user mode (arch/*/entry, kernel/softirq.c).
    "entry": r"""
        entry_\w+ do_syscall_\w+ _*do_(fast|int80)_syscall\w* do_int80\w*
        _*syscall_(return|exit|enter|trace)\w* x64_sys_call ia32_sys_call ret_(from|fast|slow|to)_\w+
        int_ret_from_sys_call\w* system_call\w* sysenter\w* tracesys\w* stub_\w+ el0t?_\w+ _*invoke_syscall
        do_el0_svc\w* el0_svc\w* handle_syscall exit_to_user\w* prepare_exit_to_usermode _*sys_trace\w*
        irqentry_\w+ do_trap_ecall_u return_to_handler syscall_call\w* _*vsyscall\w* emulate_vsyscall
        cstar_\w+ kthread kthread_worker_fn worker_thread process_(one_work|scheduled_works)
        smpboot_thread_fn kernel_thread_helper child_rip secondary_startup\w* start_secondary
        cpu_startup_entry start_kernel x86_64_start_\w+ startup_\w+ rest_init
        (asm_|__)?(sysvec|common)_\w*(interrupt|ipi|vector|callback)\w* asm_call_\w+ do_IRQ _*do_softirq\w*
        _*irq_(exit|enter)\w* invoke_softirq handle_softirqs call_on_\w*stack\w* _*irq_(svc|usr)
        el1h?_(64_)?(irq|interrupt)\w* run_ksoftirqd
        \w*(apic_timer|reschedule|call_function|irq_work|x86_platform_ipi)\w*_interrupt\w*
        task_work_run exit_to_usermode_loop do_notify_resume do_signal get_signal arch_do_signal\w*
        do_work_pending resume_userspace\w* work_pending common_interrupt\w*
    """,
    # Sanitizers and object debugging (mm/kasan, mm/kmsan, mm/kfence, kernel/kcsan, lib/ubsan.c, lib/debugobjects.c,
    # lib/list_debug.c, lib/refcount.c, mm/usercopy.c, lib/fortify).
    "sanitizer": r"""
        _*(kasan|asan|hwasan|kmsan|msan|kcsan|tsan|kfence|sanitizer|ubsan|kmemleak)_\w+
        check_memory_region\w* memory_is_\w+ object_err slab_err print_trailer (start|end)_report
        check_(bytes_and_report|object|slab)
        handle_overflow quarantine_\w+ refcount_\w+ kref_(get|put|sub|read)\w* _*refcount_\w+
        _*debug_(print_object|object_\w+|check_no_obj_freed|work_\w+) debug_(timer|hrtimer|rcu_head|obj)_\w+
        timer_is_static_object work_is_static_object _*list_(add|del)\w* list_(move|splice|replace)\w*
        _*hlist_(add|del|nulls|bl)\w* check_data_corruption usercopy_abort report_usercopy
        _*check_(heap_object|object_size|page_span|stack_object)\w*
        check_(bogus_address|kernel_text_object|copy_size|stack_object) fortify_panic _*fortify_\w+
        _*(read|write)_overflow\w* stack_depot\w* depot_\w+ report_cfi_failure _*cfi_\w+ kcov_\w+
        write_comp_data check_canary\w*
    """,
    # Tracing that other code is instrumented with (kernel/trace, kernel/events, include/trace).
    "instrument": r"""
        perf_trace_\w+ trace_event_\w+ _*traceiter_\w+
        trace_(hardirqs|irq|contention|lock|preempt|call|softirqs)\w* ftrace_\w+ function_trace_\w+
        perf_(tp_event|swevent)\w* do_perf_sw_event bpf_trace_run\w* _*bpf_trace_run\w* trace_call_bpf
        kprobe_ftrace_handler
    """,
    # Memory allocators, and freeing by reference (mm/slab*.c, mm/slub.c, mm/page_alloc.c, mm/vmalloc.c, mm/util.c).
    "alloc": r"""
        _*k(m|z|vm|vz|c|vc)alloc\w* _*do_kmalloc\w* _*do_krealloc\w* _*k(v)?realloc\w*
        _*kmem_cache_(alloc|free|destroy|shrink|shutdown|create)\w*
        _*k(v|z|vz)?free(_const|_sensitive|_bulk|_rcu\w*|_call_rcu\w*)? _*kv?mem(dup)\w*
        k(str|mem)(n)?dup\w* k(v)?asprintf\w* _*slab_\w+ do_slab_free
        _*_?cache_(alloc|free|grow|flusharray)\w* new_slab\w* allocate_slab\w* alloc_slab_page\w*
        discard_slab _*free_slab\w* free_to_partial_list memcg_slab\w* fallback_alloc _*_?cache_alloc\w*
        kmalloc_(slab|order\w*|array\w*|large\w*) _*alloc_(pages|page|frozen_pages|contig)\w*
        get_page_from_freelist _*get_free_pages\w* get_zeroed_page\w* alloc_pages_\w+ kmem_getpages
        _*free_(pages|unref|frozen_pages|one_page|pcp|contig|reserved|hot_cold|large_kmalloc)\w*
        free_(tail_page|page_is_bad)\w* rmqueue\w* prep_new_page post_alloc_hook check_new_page\w*
        _*kernel_(un)?poison_pages clear_(huge_)?(page|highpage)\w* _*folio_alloc\w* vma_alloc_\w+
        _*alloc_percpu\w* pcpu_\w+ free_percpu _*v(m|z)alloc\w* _*vmalloc\w* v(m)?free\w* _*vunmap\w*
        vunmap\w* _*vmap\w* kvfree\w* map_vm_area alloc_vmap_area\w* (mem|vmem|mem_n|str|strn)dup_user\w*
        _*memdup_user\w* dma_pool_\w+ _*mempool_\w+ devm_k\w+ should_fail\w* _*should_fail\w* fail_dump
        put_page\w* _*put_(page|folio)\w* _*page_frag_\w+ array_size cache_from_obj virt_to_cache
        _*phys_addr\w* virt_to_\w+ rcu_(do_batch|core|core_si|process_callbacks|free_\w+|cblist\w*)
        _*rcu_reclaim kfree_rcu\w* kmem_rcu_free
    """,
    # Copying, comparing and formatting memory (lib/string.c, lib/vsprintf.c, lib/iov_iter.c, arch/*/lib, mm/maccess.c).
    "memory": r"""
        _*mem(cpy|move|set|cmp|chr|scan|zero|chr_inv|32|16)\w* memcpy_\w+
        _*str(n|l|s|r|p)*(cpy|cmp|casecmp|cat|len|chr|str|brk|sep|pbrk|spn|im)\w* sized_str\w+ bcmp
        read_word_at_a_time load_unaligned_zeropad skip_spaces v?s(n|cn)?printf\w* string_nocheck
        (u?string|number|pointer|format_decode|hex_byte_pack\w*)
        _*copy_(from|to|in|mc)_(user|iter|kernel)\w* _*_copy_(from|to)_\w+ raw_copy_\w+ _*copy_user_\w+
        copy_(page|folio|highpage|user|struct|overflow)\w* copy(in|out)\w* csum_\w*copy\w* csum_partial\w*
        do_csum rep_(movs|stos)\w* _*iterate_\w+ iov_iter_\w+ _*(put|get)_user\w{0,14} instrument_\w+
        probe_(kernel|user)_\w+ _*strn?cpy_from_\w+ do_strncpy_from_user strn?len_user _*clear_user\w*
        _*arch_(copy|clear)\w* simple_copy_to_iter skb_copy_datagram\w* _*skb_datagram_iter
        simple_read_from_buffer crc32\w* crc16\w* crc_\w+ _*crc32\w* nla_(memcpy|strscpy|strlcpy)\w*
        (get|put)_unaligned\w* _*(read|write)_once\w* _*native_(memcpy|memset)\w* clear_bhb_loop siphash\w*
        _*siphash\w* jhash\w* hash_(32|64|ptr|long)\w* xxh(32|64)\w* sha(1|256)_\w*transform\w*
    """,
    # Atomics, bits and containers (include/linux, lib/rbtree.c, lib/radix-tree.c, lib/xarray.c, lib/maple_tree.c).
    "primitive": r"""
        (arch_|raw_|generic_|_)*atomic\w* _*(test|set|clear|change)_(and_\w+_)?bit\w*
        (arch_|const_|variable_|constant_)(test|set|clear|change)_\w*bit\w* _*find_\w+_bit\w* _*bitmap_\w+
        _*rb_(erase|insert|link|next|prev|first|last|rotate|set|change|add|find)\w* _*rb_\w+ _*rht_\w+
        _*rhashtable_\w+ rht\w+ _*xas_\w+ _*xa_(load|store|erase|insert|alloc|find|get|set|mark|init)\w*
        _*radix_tree_(lookup|insert|delete|next|gang|tag|descend|load|find|clear|replace)\w* _*idr_\w+
        ida_\w+ _*llist_\w+ mt_find mtree_\w+ mas_\w+ plist_\w+ timerqueue_\w+
        rcu_(assign|dereference|is_watching|read_lock|read_unlock|lockdep)\w* _*rcu_read_(lock|unlock)\w*
        debug_lockdep_rcu_enabled _*percpu_(ref|counter|add|read)\w* _*this_cpu_\w+ arch_static_branch\w*
        static_key_(count|enabled)\w* cpumask_(next|first|test|set)\w* ktime_get\w* _*compound_head
        page_(to_nid|ref)\w* folio_(ref|test|get|put|nr)\w* get_current
        (u64_stats|seqcount|seqprop|read_seq|write_seq|do_raw_write_seq)\w* _*preempt_count\w*
        check_preemption_disabled debug_smp_processor_id list_(empty|first|next|is)\w* hlist_\w+
        is_vmalloc_\w+ bit_spin_\w+ hlist_bl_\w+ data_race osq_\w+ mcs_\w+ prandom_\w+ get_random_\w+
        _*srcu_read_(lock|unlock)\w* arch_local_\w+ _*raw_local_irq\w* native_(save|restore)_fl
    """,
    # Locks (kernel/locking, drivers/tty/tty_ldsem.c; net/core/sock.c, kernel/printk).
    "lock": r"""
        (_|raw_|do_raw_|native_|pv_|kvm_|xen_|hv_|paravirt_|queued_|arch_|rt_|ticket_|virt_)*(spin|read|write)_(try|un)?lock\w*
        (native_|pv_|kvm_|hv_|_)*queued_\w+ pv_\w+ kvm_(wait|kick_cpu) spin_(bug|dump) rwlock_bug\w*
        _*mutex_(lock|unlock|trylock|optimistic|spin|remove|can_spin)\w* _*ww_mutex_\w+ _*rt_mutex_\w+
        rtlock_\w+ _*rt_spin\w* debug_(mutex|spin|rt_mutex|write|read)_\w+
        atomic_dec_and_(mutex|raw|lock)\w*
        _*_?(down|up|downgrade)(_(read|write|interruptible|killable|timeout|trylock|common|non_owner|nested|nest_lock))*
        call_rwsem_\w+ _*rwsem_\w+ rwbase_\w+ percpu_(down|up|is)_\w+ _*percpu_(down|rwsem|up)\w*
        _*ldsem_\w+ tty_(ldisc_)?lock\w* _*tty_ldisc_lock\w* tty_ldisc_ref_wait local_(bh|irq|lock)\w*
        _*local_(bh|lock)\w* class_\w+(structor|_lock\w*)
        (lock|rwsem|spin|mutex)_(acquire|release|acquired|contended|is_held|downgrade|pin|repin|unpin|set|sync|class)\w*
        _*lock_(acquire|release|is_held|contended|set|downgrade|acquired)\w* lockdep_\w+ _*lockdep_\w+
        validate_chain
        check_(prev_add|prevs_add|noncircular|deadlock|irq_usage|usage|wait_context|flags|redundant|chain_key)\w*
        print_\w*(bug|lock|deadlock|usage|inversion|unlock|freed|held|chain|imbalance|contention|dependency|state|key)\w*
        valid_state mark_(lock|usage|held|all)\w* _*mark_\w*lock\w* register_lock\w* look_up_lock\w*
        assign_lock\w* add_lock\w* match_held\w* find_held\w* find_lock\w* hlock_class static_obj
        debug_check_no_locks_\w+ _*cant_(sleep|migrate)\w* debug_show\w* save_trace _*bfs\w* graph_lock
        _*usage_\w+ validate_\w*chain\w* reacquire_held_locks
    """,
    # Locks that many take but that are something in themselves: a socket's, the console's, reclaim, CPU hotplug.
    "named-lock": r"""
        _*lock_sock\w* console_lock fs_reclaim_\w+ _*fs_reclaim_\w+ _*need_fs_reclaim might_lock\w*
        _*_?might_(resched|sleep|fault|alloc)\w* _*srcu_\w*lock\w* cpus_read_(lock|unlock|trylock)
        get_online_cpus
    """,
    # Stack walking: on the way to a report it is machinery, as the place of a fault it is not (arch/x86/kernel).
    "unwind": r"""
        _*unwind_\w+ update_stack_state orc_find\w* stack_access_ok on_stack
        in_(entry_|exception_|irq_)?stack
    """,
    # Waiting and being scheduled (kernel/sched, kernel/time/timer.c, kernel/rcu/update.c, mm/filemap.c).
    "wait": r"""
        _*schedule(_(?!tail)\w+)? __sched_text_start (io|preempt|ww|rt_mutex|rtlock)_schedule\w*
        context_switch _*switch_to\w* _*_?cond_resched\w* _*_?preempt_schedule\w*
        dynamic_(cond_resched|preempt)\w* freezable_schedule\w* _*(m|u|f)?sleep(_\w+)? usleep_range\w*
        _*wait_(for|on|event|woken|rcu|task)\w* do_wait_for_common bit_wait\w* out_of_line_wait\w*
        prepare_to_\w*wait\w* finish_(wait|task_switch|swait)\w* folio_(wait|lock|put_wait)\w*
        _*folio_(wait|lock)\w* _*lock_(page|buffer|folio)\w* page_wait_\w+ rcu_?wait\w* rcuwait_\w+
        swait_\w+ _*swake_\w+ do_wait_intr\w* complete(_all|_and_exit|_with_flags)? try_to_wake_up
        _*wake_up\w* autoremove_wake_function default_wake_function pick_next_\w+ _*ttwu_\w+ default_wake\w*
        rq_lock\w* raw_spin_rq_\w+ pollwake flush_tlb\w*
    """,
    # Waiting for work and timers: a hang in a flush is the flusher's (kernel/workqueue.c, kthread.c, time/timer.c).
    "flush": r"""
        _*flush_(work|workqueue|delayed_work|scheduled_work)\w* _*cancel_(work|delayed_work)\w*
        drain_workqueue insert_wq_barrier kthread_(flush|stop|park|cancel|should)\w* _*flush_work\w*
        (del|delete)_timer_sync timer_delete_sync\w* _*timer_delete\w* try_to_grab_pending
    """,
    # Helpers that their caller used wrongly (drivers/base, fs/sysfs, lib/kobject.c, net/core/skbuff.c, net/core/dev.c,
    # drivers/usb/core, kernel/workqueue.c, kernel/time/timer.c, fs/inode.c).
    "helper": r"""
        _*k(object|set)_\w+ sysfs_(?!kf_\w+)\w+ _*sysfs_(?!kf_)\w+
        device_(add|del|unregister|register|remove_file|create\w*|destroy|remove_\w+|add_\w+|for_each\w*)
        dpm_sysfs_\w+ put_device get_device cdev_(del|device_del|add) bus_(add|remove)_device klist_\w+
        _*unregister_client i2c_del_adapter rollback_registered\w* (un)?register_net(device|dev)\w*
        netdev_(wait_allrefs|refcnt)\w* dev_(put|hold)\w* unregister_netdevice\w*
        usb_(kill|poison|unlink|submit|free|get|put)_\w*urb\w* usb_kill_\w+
        usb_(control|bulk|interrupt)_msg\w* usb_start_wait_urb usb_internal_control_msg
        usb_hcd_(submit|unlink)\w* usb_free_(urb|coherent) _*queue_(work|delayed_work)\w*
        mod_delayed_work\w* insert_work _*mod_timer\w* mod_timer add_timer\w* (del|delete)_timer\w*
        timer_(delete|reduce|shutdown)\w* _*timer_\w+ detach_\w*timer\w* lock_timer_base drop_nlink
        inc_nlink set_nlink clear_nlink ref_tracker_\w+ percpu_ref_\w+ irq_work_\w+ module_put
        try_module_get _*module_get proc_(register|create\w*|mkdir\w*) _*proc_create\w* debug_dma_\w+
        check_(sync|unmap|for)_\w+ check_(sync|unmap|sg_segment) add_dma_entry _*dma_(un)?map_\w+ _*bad_unlock\w*
    """,
    # Checks of a buffer's bounds (net/core/skbuff.c) and assertions of file systems.
    "bounds": r"""
        skb_(panic|put|push|pull|over_panic|under_panic|trim|to_sgvec)(_\w+)?
        _*skb_(put|push|pull|to_sgvec)\w* _*pskb_(pull|trim)\w* assfail asswarn btrfs_assertfail
        \w+_assertion_failed usercopy_abort
    """,
    # Functions that check a state on behalf of all callers, in a warning (kernel/softirq.c, sched, locking).
    "check": r"""
        _*local_bh_\w+ _*_?might_(sleep|resched|fault)\w* lockdep_\w+ hlock_class
        lock_(acquire|release|downgrade|set|contended|acquired|is_held)\w*
        _*lock_(acquire|release|downgrade|set|acquired|contended)\w* (up|down|downgrade)_(read|write)\w*
        _*mutex_(lock|unlock)\w* mutex_(lock|unlock|trylock)\w*
        (_|raw_|do_raw_)*(spin|read|write)_(un)?lock\w* lock_sock\w* release_sock check_flags\w*
        mark_(lock|usage|held)\w* register_lock_class look_up_lock_class check_\w*chain\w* _*flush_work\w*
        _*cancel_(work|delayed_work)\w* cancel_\w*work_sync flush_(work|workqueue|delayed_work)\w*
        _*cancel_\w+ __schedule_bug
    """,
    # Per-CPU data accessed with preemption on: who did it (lib/smp_processor_id.c).
    "percpu": r"""
        check_preemption_disabled \w*smp_processor_id\w* _*this_cpu_preempt_check debug_smp_processor_id
    """,
    # The timer tick, NMI and watchdog path that found a CPU stuck (kernel/time, rcu/tree_stall.h, watchdog.c).
    "watchdog": r"""
        rcu_(check|sched_clock|pending|dump|process|print|gp|note|iw|preempt|stall|exp)_\w+
        rcu_(pending|sched_clock_irq) _*rcu_pending print_(other_)?cpu_stall\w* check_cpu_stall\w*
        dump_cpu_task _*sched_show_task update_process_times tick_\w+
        _*hrtimer_(run|interrupt|start|reprogram)\w* hrtimer_interrupt _*run_hrtimer
        local_apic_timer_interrupt arch_timer_\w+ timer_(handler|interrupt)\w* handle_percpu_\w+
        _*handle_(domain_irq|irq)\w* generic_handle_\w*irq\w* handle_irq\w* gic_handle_\w*irq\w*
        _*gic_handle\w* riscv_(timer|intc)\w*
        handle_(riscv|arch|percpu|fasteoi|edge|level|simple|nested)_irq\w* scheduler_tick sched_tick
        account_\w+ profile_tick task_tick_\w+ irqtime_\w+ timekeeping_\w+ do_timer nmi(_\w+)?
        (end|first|repeat)_\w*nmi\w* (default_)?do_nmi arch_trigger_\w+ trigger_(all|single|cpumask)\w*
        _*perf_event_overflow watchdog\w* is_softlockup\w* perf_event_nmi_handler intel_pmu_handle_irq
        check_hung_\w+ lapic_\w+ handle_IPI do_handle_IPI ipi_\w+ do_(irq|interrupt_handler)
        run_\w*on_irqstack\w* _*run_irq_on_irqstack\w* sched_clock\w* kvm_clock_\w+ pvclock_\w+
        kvm_sched_clock\w* _*perf_event_task_tick perf_\w+_tick cpuacct_\w+ update_(curr|load|wall)\w*
    """,
    # Idling: a stall there belongs to the interrupt (kernel/sched/idle.c, drivers/cpuidle).
    "idle": r"""
        (default|do|arch_cpu|cpu|acpi|intel|mwait|poll|amd\w*|haltpoll|play|kvm)_idle\w*
        (native_|arch_|acpi_|pv_native_|pv_|)(safe_)?halt\w* cpuidle_\w+ call_cpuidle
        acpi_(processor|safe|idle)_\w+ _*cpuidle\w* mwait_\w+ cpu_do_idle do_idle default_enter_idle
        intel_idle\w*
    """,
    # Constructors: what leaked is what their caller made (lib/kobject.c, drivers/base, net/core, fs/inode.c, block).
    "constructor": r"""
        _*alloc_(skb|inode|netdev|super|file|empty_file|fdtable|workqueue|etherdev|disk|vfsmnt)\w*
        _*(netdev|napi)_alloc\w* _*build_skb\w* sk_(alloc|prot_alloc|clone\w*)
        sock_(alloc|kmalloc|wmalloc|alloc_send)\w* sk_prot_alloc _*list_lru_\w+ sget_(fc|userns)
        _*bio_(alloc|kmalloc|copy|map)\w* bio_\w*integrity_\w*alloc\w* _*blk_(alloc|mq_alloc|mq_init)\w*
        alloc_bio\w* blk_alloc\w* _*kernfs_new_node kernfs_(new|create)\w* radix_tree_node_alloc\w*
        _*register_sysctl\w* new_(dir|links) _*nlmsg_(new|alloc)\w* bdev_\w*alloc\w* alloc_\w*percpu\w*
        init_srcu_struct\w* crypto_(alloc|create|init)_\w+ crypto_create_tfm\w* crypto_\w+alloc\w*
    """,
}
# Name of the group -> one regular expression for `fullmatch`.
GROUPS: dict[str, str] = {name: "|".join(text.split()) for name, text in _GROUPS.items()}
