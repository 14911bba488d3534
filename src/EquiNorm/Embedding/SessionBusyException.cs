namespace EquiNorm.Embedding;

/// <summary>A session was called while another call was under way. The call did nothing.</summary>
public sealed class SessionBusyException : InvalidOperationException
{
    internal SessionBusyException()
        : base("Another thread is using this session. A session serves one caller at a time; make one session for each thread, or take a lock.")
    {
    }
}
